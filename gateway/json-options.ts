/** How JSON is read and written: proto's field names, zero values present, unknown fields refused. */
export const JSON_OPTIONS = { ignoreUnknownFields: false, useProtoFieldName: true, alwaysEmitImplicit: true } as const;
