import type { ClientTls, ReloadedClientTls } from "../../common/tls/client-tls.ts";
import { leafOf } from "../../common/tls/read-pem.ts";
import type { ServerTls } from "../../common/tls/server-tls.ts";

/**
 * Returns the TLS with which a gateway dials its managers.
 *
 * A manager that no setting names is the one on this machine: it has the gateway's own certificate, whose names are those that others call it by. So that very
 * certificate is what is expected there, and nothing else; or the one before it, for when the files change the manager may read them a moment later.
 */
export function managerTls(own: ServerTls | undefined, client: ReloadedClientTls, named: boolean): () => ClientTls {
  if (named || own === undefined) return () => client.current;
  let leaf = leafOf(own.cert);
  let expected = leaf;
  own.onChange(() => {
    const before = leaf;
    leaf = leafOf(own.cert);
    expected = Buffer.concat([leaf, before]);
  });
  return () => ({ ca: expected, pair: client.current.pair, pinned: true });
}
