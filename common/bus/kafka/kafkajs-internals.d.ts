// Modules that kafkajs has no types for, and kafkajs-guards.ts replaces parts of.

declare module "kafkajs/src/network/connection.js" {
  const Connection: { readonly prototype: import("./kafkajs-guards.ts").Connection };
  export = Connection;
}

declare module "kafkajs/src/network/requestQueue/index.js" {
  const RequestQueue: { readonly prototype: import("./kafkajs-guards.ts").RequestQueue };
  export = RequestQueue;
}

declare module "kafkajs/src/consumer/consumerGroup.js" {
  const ConsumerGroup: { readonly prototype: import("./kafkajs-guards.ts").ConsumerGroup };
  export = ConsumerGroup;
}
