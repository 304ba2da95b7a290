/**
 * Explains each variable: meaning, reason for the default, and the limit of AWS or PostgreSQL it must stay under, in
 * Markdown. Apart from the table, so that a bundle that only reads the environment does not carry it.
 */
// biome-ignore format: a table reads best with one variable to a paragraph
export const descriptions: Readonly<Record<string, string>> = {
  DATABASE_URL: 'Where to connect, in one value: `postgres://user:password@host:5432/database`. What it leaves out comes from ' +
      'the variables below. Percent-encode `@ : / ? # %` in the password.',
  PGHOST: 'The server, or the directory of its Unix socket. One host only: pg does not try several.',
  PGPORT: 'The TCP port; 65535 is the highest there is.',
  PGDATABASE: 'The database. PostgreSQL cuts names at 63 bytes.',
  PGUSER: 'The role to log in as. Set it: the system user of a Lambda sandbox is no role of yours.',
  PGPASSWORD: 'The role’s password, taken as it is, spaces included. It never appears in an error.',
  PGAPPNAME: 'The name shown in `pg_stat_activity`. PostgreSQL cuts it at 63 bytes.',
  PGSSLMODE: 'How far the server must prove who it is. `verify-full`: certificate and host name; `verify-ca`: certificate only ' +
      '(needs `PGSSLROOTCERT`); `require`: encrypted, and verified only as far as `verify-ca` if `PGSSLROOTCERT` is set; ' +
      '`no-verify`: encrypted only; `disable`: no TLS. Verified by default because a password sent to the wrong server is lost.',
  PGSSLROOTCERT: 'The certificate authorities to trust, and no others; `system` means Node’s own. Without it, Node’s own and, where ' +
      'the file exists, `/var/runtime/ca-cert.pem`, with which Lambda’s zip runtimes bring Amazon’s (container images do not).',
  PGSSLNEGOTIATION: 'How TLS begins: `postgres` asks the server first, `direct` starts at once and saves a round trip. PostgreSQL 17 and later; a server ' +
      'that cannot is connected to again the other way, and that is remembered.',
  THAWPOOL_AUTH: 'Where the password comes from. `password`: given; `iam`: a token that the function’s role signs, good for RDS, Aurora and RDS Proxy; ' +
      '`secret`: a secret in Secrets Manager, which may also say host, port and database.',
  THAWPOOL_SECRET_ARN: 'The secret that `auth: secret` reads: its ARN, or its name in the function’s own account and region.',
  THAWPOOL_MAX: 'Hard limit of open connections in one sandbox. Small, because it is multiplied by the concurrency of the function: ' +
      'sandboxes × `max` must stay below the server’s `max_connections`, which RDS and Aurora set to 5000 at most. Not 1, because ' +
      'a handler that queries beside its own transaction needs two.',
  THAWPOOL_MAX_IDLE: 'What may stay open over a freeze; what a burst opened above it closes at the end of the invocation. One is enough ' +
      'for the next handler to start at once, and each one kept occupies the server while nobody uses it. At most `max`.',
  THAWPOOL_MAX_PER_ENVIRONMENT: 'Hard limit of open connections in all threads of one process together, where `max` counts in each thread alone. For Lambda ' +
      'Managed Instances, which run 8 threads per vCPU, each with a pool: environments × this must stay below `max_connections`. None by default, ' +
      'because elsewhere there is one thread. Pools of different names count apart. See [managed-instances.md](managed-instances.md).',
  THAWPOOL_STATEMENT_CACHE: 'How many statements with values each connection keeps prepared at the server, from their second use on; 0 prepares none. 100 is more than ' +
      'most functions have, and each costs the server memory on each connection. On a direct route only: behind a pooler the backend changes. ' +
      'See [statement-cache.md](statement-cache.md).',
  THAWPOOL_ACQUIRE_TIMEOUT_MS: 'One budget for the queue, DNS, TCP, TLS, login and proof of life, cut short by the invocation’s own deadline. An Aurora ' +
      'that pauses takes 15 to 30 s to resume: raise it there. At most 900000, the longest invocation.',
  THAWPOOL_IDLE_TIMEOUT_MS: 'A connection unused for this long is discarded without asking; 0 is never. Below 350000: NAT gateways, Network Load Balancers and ' +
      'connection tracking forget a silent flow after 350 s. At most 86400000, a day.',
  THAWPOOL_MAX_LIFETIME_MS: 'A connection older than this, less up to 10 % of jitter, is replaced; 0 is never. It spreads reconnects and follows DNS ' +
      'after a failover. At most 86400000: RDS Proxy ends a session after 24 h.',
  THAWPOOL_STATEMENT_TIMEOUT_MS: 'The longest a statement may run; 0 sets no limit of its own, since the invocation’s deadline always holds. At most ' +
      '900000, the longest invocation.',
  THAWPOOL_DEADLINE_RESERVE_MS: 'Kept back before the sandbox is ended: 250 is room for a cancel, a rollback and a close within one region. It must stay ' +
      'well below the function’s own timeout, or nothing is left to work in.',
  THAWPOOL_VALIDATE_AFTER_IDLE_MS: 'A connection without proof of life for this long is proven again before anyone gets it; 0 proves it every time. One ' +
      'second keeps steady traffic free of pings; behind a pooler it is 30000 unless set. It has no use above `idleTimeoutMillis`.',
  THAWPOOL_VALIDATE_TIMEOUT_MS: 'The longest a proof of life may take; less once the round trip is known. Short, because it is what a dead socket costs, ' +
      'and it is spent out of `acquireTimeoutMillis`; behind a pooler, which may have to wait for a backend, it is 1000 unless set.',
  THAWPOOL_ROUTE: 'What stands between the function and the server; a pooler refuses things that a server takes.',
  THAWPOOL_PROXY_HOST: 'The endpoint of an RDS Proxy: connected to instead of the host, with `route: rds-proxy`. Without it the function goes to the host again.',
  THAWPOOL_PROXY_FALLBACK: '`direct` connects to the host itself while the proxy of `THAWPOOL_PROXY_HOST` does not answer. Off, because a proxy is there to keep ' +
      'connections few: the server must have room for sandboxes × `max`.',
  THAWPOOL_PINNING: 'What becomes of a statement that would keep an RDS Proxy, or PgBouncer in transaction mode, from sharing the connection: `warn` says so with the ' +
      'reason and the fix, `count` counts it in the events, `error` refuses it, `off` does not look.',
  THAWPOOL_READER_HOST: 'The endpoint for reads: `db.reader` is then a pool of its own that goes there, and to the writer while no reader answers. Without it ' +
      '`db.reader` is the pool itself.',
  THAWPOOL_READER_MAX: 'Hard limit of open connections to the reader in one sandbox, beside `max` for the writer.',
  THAWPOOL_READ_ONLY: 'Whether a server that cannot be written to will do: a standby, or one that makes every transaction read-only. Off, because ' +
      'after a failover the writer’s name may still lead to the old writer: such a server is refused and the name resolved again.',
  THAWPOOL_METRICS: 'Writes one line of CloudWatch’s embedded metric format per invocation. Off, because CloudWatch bills each metric. See ' +
      '[Metrics](metrics.md).',
  THAWPOOL_METRICS_NAMESPACE: 'The CloudWatch namespace of those metrics.',
};
