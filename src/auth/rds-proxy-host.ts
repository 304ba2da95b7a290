/**
 * Endpoints of RDS Proxies are named `<name>.proxy-<id>.<region>.rds.<suffix>`, further ones of a proxy `<name>.endpoint.proxy-…`;
 * a newer form in China has the region behind `rds`. The suffix is the partition's.
 */
const name = /\.proxy-[^.]+\.(?:[^.]+\.rds|rds\.[^.]+)\.(?:amazonaws\.(?:com|com\.cn|eu)|[a-z0-9.-]+\.(?:gov|uk))\.?$/i;

/** Tells whether a host name is that of an RDS Proxy. */
export function isRdsProxyHost(host: string): boolean {
  return name.test(host);
}
