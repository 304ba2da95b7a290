import { readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import tls, { createSecureContext, TLSSocket } from 'node:tls';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { splitSslFromUrl, type TlsFacts, TlsOptionError, type TlsOptions, tlsFor } from '../../src/auth/tls.ts';
import { explainTlsError } from '../../src/auth/tls-errors.ts';
import { variables } from '../../src/env.ts';
import { showCertificate } from '../../src/pg/shown-certificate.ts';
import {
  type Certificates,
  makeCertificates,
  type ServerCertificate,
  whyNoCertificates,
} from '../support/certificates.ts';

/** A path at which there is no file: the tests do not depend on where they run. */
const noFile = '/nonexistent/ca-cert.pem';
const decide = (facts: TlsFacts): false | TlsOptions => tlsFor({ runtimeCaFile: noFile, ...facts });

describe('tlsFor, without a server', () => {
  it.each([
    undefined,
    '',
    'localhost',
    'LOCALHOST',
    '127.0.0.1',
    '127.255.0.9',
    '::1',
    '[::1]',
    '0:0:0:0:0:0:0:1',
    '/var/run/postgresql',
  ])('uses no TLS on %s when nothing is set', (host) => {
    expect(decide({ host })).toBe(false);
  });

  it.each([
    'db.example.com',
    '10.0.0.7',
    '127.0.0.1.example.com',
    '127.example.com',
    'localhost.',
    '127.0.0.1.',
    'localhost.example.com',
    '126.0.0.1',
    '128.0.0.1',
    '::2',
    '2001:db8::1',
  ])('verifies everything on %s when nothing is set', (host) => {
    const options = decide({ host });
    expect(options).toMatchObject({ sslMode: 'verify-full', rejectUnauthorized: true });
    expect(options).not.toHaveProperty('checkServerIdentity');
  });

  it('uses no TLS when told so, wherever the server is', () => {
    expect(decide({ host: 'db.example.com', sslMode: 'disable' })).toBe(false);
  });

  it('never asks for TLS on a Unix socket, whatever the mode', () => {
    expect(decide({ host: '/var/run/postgresql', sslMode: 'verify-full' })).toBe(false);
    expect(decide({ host: '/var/run/postgresql', sslMode: 'require' })).toBe(false);
  });

  it('asks for TLS on loopback when the mode says so', () => {
    expect(decide({ host: 'localhost', sslMode: 'verify-full' })).toMatchObject({ rejectUnauthorized: true });
  });

  it.each(['require', 'no-verify'])('verifies nothing with %s', (sslMode) => {
    expect(decide({ host: 'db.example.com', sslMode })).toMatchObject({ rejectUnauthorized: false });
  });

  it.each(['prefer', 'allow'])('refuses %s and says why', (sslMode) => {
    expect(() => decide({ host: 'localhost', sslMode })).toThrow(
      /without encryption.*verify-full, verify-ca or require/,
    );
  });

  it('refuses an unknown mode and lists the known ones', () => {
    const run = (): unknown => decide({ host: 'db', sslMode: 'verify_full' });
    expect(run).toThrow(TlsOptionError);
    expect(run).toThrow('one of disable, no-verify, require, verify-ca, verify-full, got "verify_full"');
    expect(run).toThrow(expect.objectContaining({ code: 'ERR_POOL_INVALID_OPTION' }));
  });

  it('knows the modes that the environment accepts, and no others', () => {
    const rule = variables.find(({ option }) => option === 'sslMode')?.rule;
    const words = rule?.kind === 'word' ? rule.words : [];
    expect(words).toHaveLength(5);
    for (const sslMode of words) expect(() => decide({ host: '/tmp', sslMode })).not.toThrow(/must be one of/);
  });

  it('refuses verify-ca without an authority of its own', () => {
    expect(() => decide({ host: 'db', sslMode: 'verify-ca' })).toThrow('needs sslRootCert');
  });

  it.each(['require', 'verify-ca', 'disable', 'no-verify'])('refuses %s with the public authorities', (sslMode) => {
    expect(() => decide({ host: 'db', sslMode, sslRootCert: 'system' })).toThrow('must be verify-full');
  });

  it('trusts Node’s own roots with the word system, even where the Lambda runtime brings a file', () => {
    const options = tlsFor({ host: 'db', sslRootCert: 'system', runtimeCaFile: import.meta.filename });
    expect(options).toMatchObject({ sslMode: 'verify-full', trusts: "Node's own root certificates" });
    expect(options).not.toHaveProperty('secureContext');
  });

  it('lets the ssl option win over everything', () => {
    const ssl = { rejectUnauthorized: false };
    expect(decide({ host: 'db', sslMode: 'nonsense', sslRootCert: noFile, ssl })).toBe(ssl);
    expect(decide({ host: 'db', sslMode: 'verify-full', ssl: false })).toBe(false);
    expect(decide({ host: 'localhost', sslMode: 'disable', ssl: true })).toMatchObject({
      sslMode: 'verify-full',
      rejectUnauthorized: true,
    });
  });

  it('names the file that it cannot read', () => {
    expect(() => decide({ host: 'db', sslRootCert: noFile })).toThrow(new RegExp(`"${noFile}".*PGSSLROOTCERT.*ENOENT`));
  });

  it('names the file that holds no certificate', () => {
    expect(() => decide({ host: 'db', sslRootCert: import.meta.filename })).toThrow(`"${import.meta.filename}"`);
    expect(() => decide({ host: 'db', sslRootCert: import.meta.filename })).toThrow('has no "BEGIN CERTIFICATE" block');
  });
});

describe('tlsFor with credentials that must not be sent in the clear', () => {
  const required = true;

  it.each([undefined, 'localhost', 'localhost.', '127.0.0.1', '::1', 'db.example.com'])(
    'verifies everything on %s when nothing is set',
    (host) => {
      expect(decide({ host, required })).toMatchObject({ sslMode: 'verify-full', rejectUnauthorized: true });
    },
  );

  it.each<[string, TlsFacts, string]>([
    ['the mode', { host: 'db', sslMode: 'disable' }, 'sslMode is disable'],
    ['the mode, on loopback', { host: 'localhost', sslMode: 'disable' }, 'sslMode is disable'],
    ['the ssl option', { host: 'db', ssl: false }, 'ssl is false'],
    [
      'the place',
      { host: '/var/run/postgresql', sslMode: 'verify-full' },
      'a Unix socket (/var/run/postgresql) has none',
    ],
  ])('refuses to go without TLS by %s', (_, facts, why) => {
    const run = (): unknown => decide({ ...facts, required });
    expect(run).toThrow(TlsOptionError);
    expect(run).toThrow(why);
    expect(run).toThrow('a token is sent as it is');
    expect(decide(facts)).toBe(false);
  });

  it.each<[string, TlsFacts]>([
    ['require', { sslMode: 'require' }],
    ['no-verify', { sslMode: 'no-verify' }],
    ['an ssl option', { ssl: { rejectUnauthorized: false } }],
  ])('takes the user’s word for %s', (_, facts) => {
    expect(decide({ host: 'db', ...facts, required })).toMatchObject({ rejectUnauthorized: false });
  });
});

describe('tlsFor with TLS that begins at once', () => {
  const sslNegotiation = 'direct';

  it.each<[TlsFacts, string]>([
    [{ host: 'db', sslMode: 'disable' }, 'sslMode is disable'],
    [{ host: 'localhost' }, 'none is used on localhost when nothing is set'],
    [{ host: '/tmp' }, 'a Unix socket (/tmp) has none'],
    [{ host: 'db', ssl: false }, 'ssl is false'],
  ])('refuses %o', (facts, why) => {
    const run = (): unknown => decide({ ...facts, sslNegotiation });
    expect(run).toThrow(TlsOptionError);
    expect(run).toThrow('sslNegotiation "direct" needs TLS (environment PGSSLNEGOTIATION)');
    expect(run).toThrow(why);
    expect(decide({ ...facts, sslNegotiation: 'postgres' })).toBe(false);
  });

  it('has nothing against any other mode', () => {
    for (const sslMode of [undefined, 'require', 'no-verify', 'verify-full']) {
      expect(decide({ host: 'db', sslMode, sslNegotiation })).toMatchObject({ sslMode: sslMode ?? 'verify-full' });
    }
  });
});

describe('splitSslFromUrl', () => {
  it('takes out what pg would let win over the decision, and leaves the rest as it is', () => {
    expect(
      splitSslFromUrl(
        'postgres://app:p%40ss@db/shop?application_name=a%20b&sslmode=require&sslrootcert=%2Ftmp%2Fca.pem&uselibpqcompat=true&sslnegotiation=direct&host=x',
      ),
    ).toStrictEqual({
      connectionString: 'postgres://app:p%40ss@db/shop?application_name=a%20b&host=x',
      sslMode: 'require',
      sslRootCert: '/tmp/ca.pem',
      sslNegotiation: 'direct',
    });
  });

  it.each(['postgres://db/shop', 'postgres://app:a?b@db', 'postgres://db/shop?application_name=sslmode%3Ddisable'])(
    'returns %s unchanged',
    (url) => {
      expect(splitSslFromUrl(url)).toStrictEqual({ connectionString: url });
    },
  );

  it.each([
    ['ssl=true', 'verify-full'],
    ['ssl=1', 'verify-full'],
    ['ssl=0', 'disable'],
    ['ssl=false', 'disable'],
    ['ssl=no-verify', 'no-verify'],
    ['ssl=true&sslmode=require', 'require'],
  ])('reads %s as %s', (query, sslMode) => {
    expect(splitSslFromUrl(`postgres://db/shop?${query}`)).toStrictEqual({
      connectionString: 'postgres://db/shop',
      sslMode,
    });
  });

  it('takes an empty parameter as not set', () => {
    expect(splitSslFromUrl('postgres://db?sslmode=&ssl=')).toStrictEqual({ connectionString: 'postgres://db' });
  });

  it.each(['sslcert', 'sslkey', 'sslpassword'])('refuses %s, which it would lose', (name) => {
    expect(() => splitSslFromUrl(`postgres://db?${name}=a`)).toThrow('give ssl: { cert, key, ca }');
  });
});

const whyNot = whyNoCertificates();
if (whyNot !== undefined) console.warn(`The TLS handshakes are skipped: ${whyNot}.`);

describe.skipIf(whyNot !== undefined)('a handshake between pg and a server', () => {
  let made: Certificates;
  const servers: Server[] = [];
  const sockets = new Set<Socket>();

  beforeAll(() => {
    made = makeCertificates();
  });
  afterEach(() => {
    for (const socket of sockets) socket.destroy();
    for (const server of servers.splice(0)) server.close();
    vi.unstubAllEnvs();
  });
  afterAll(() => made.dispose());

  /** A server that knows the beginning of PostgreSQL's protocol: SSLRequest, TLS, and "you are in" to anybody. */
  async function serve(certificate: ServerCertificate | 'no TLS'): Promise<number> {
    const welcome = Buffer.from('5200000008000000005a0000000549', 'hex'); // AuthenticationOk, ReadyForQuery (idle)
    const server = createServer((socket) => {
      sockets.add(socket.on('error', () => {}));
      socket.once('data', (first) => {
        // SSLRequest: length 8, code 80877103 (PostgreSQL protocol 3.0); anything else is a StartupMessage in the clear.
        if (first.readInt32BE(4) !== 80_877_103) return socket.write(welcome);
        if (certificate === 'no TLS') return socket.write('N');
        socket.write('S');
        const secureContext = createSecureContext(certificate);
        const secured = new TLSSocket(socket, { isServer: true, secureContext });
        return secured.on('error', () => {}).once('data', () => secured.write(welcome));
      });
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return (server.address() as AddressInfo).port;
  }

  /** Connects as pg does; returns 'encrypted' or 'readable', or the error. */
  async function connect(
    certificate: ServerCertificate | 'no TLS',
    ssl: false | TlsOptions,
    host = 'localhost',
  ): Promise<'encrypted' | 'readable' | Error> {
    const client = new pg.Client({ host, port: await serve(certificate), ssl, user: 'app', password: 'x' });
    client.on('error', () => {});
    const { connection } = client as unknown as { connection: pg.Connection };
    connection.once('sslconnect', () => showCertificate(connection.stream));
    try {
      await client.connect();
      const { stream } = (client as unknown as { connection: { stream: Socket } }).connection;
      return stream instanceof TLSSocket && stream.encrypted ? 'encrypted' : 'readable';
    } catch (error) {
      return error as Error;
    }
  }

  const withCa = (facts: TlsFacts): false | TlsOptions =>
    decide({ host: 'localhost', sslRootCert: made.caFile, ...facts });

  it('succeeds with verify-full when authority and name are right, by name and by address', async () => {
    expect(await connect(made.local, withCa({ sslMode: 'verify-full' }))).toBe('encrypted');
    expect(await connect(made.local, withCa({ sslMode: 'verify-full', host: '127.0.0.1' }), '127.0.0.1')).toBe(
      'encrypted',
    );
  });

  it('is verified on loopback too when only a root certificate is given', async () => {
    expect(await connect(made.local, withCa({}))).toBe('encrypted');
    expect(await connect(made.elsewhere, withCa({}))).toHaveProperty('code', 'ERR_TLS_CERT_ALTNAME_INVALID');
  });

  it.each(['localhost', '127.0.0.1'])('fails with verify-full when the certificate is not for %s', async (host) => {
    const ssl = withCa({ sslMode: 'verify-full', host });
    expect(await connect(made.elsewhere, ssl, host)).toHaveProperty('code', 'ERR_TLS_CERT_ALTNAME_INVALID');
  });

  it.each(['verify-full', 'verify-ca', 'require'])(
    'fails with %s when another authority signed it',
    async (sslMode) => {
      const ssl = decide({ host: 'localhost', sslMode, sslRootCert: made.otherCaFile });
      expect(await connect(made.local, ssl)).toHaveProperty('code', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE');
    },
  );

  it('fails with verify-full when Node knows no such authority', async () => {
    const ssl = decide({ host: 'localhost', sslMode: 'verify-full' });
    expect(await connect(made.withChain, ssl)).toHaveProperty('code', 'SELF_SIGNED_CERT_IN_CHAIN');
    expect(await connect(made.withChain, decide({ host: 'localhost', ssl: true }))).toHaveProperty(
      'code',
      'SELF_SIGNED_CERT_IN_CHAIN',
    );
  });

  it('stays verified when NODE_TLS_REJECT_UNAUTHORIZED switches verification off', async () => {
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    expect(await connect(made.withChain, decide({ host: 'localhost', sslMode: 'verify-full' }))).toBeInstanceOf(Error);
    expect(await connect(made.elsewhere, withCa({ sslMode: 'verify-full' }))).toBeInstanceOf(Error);
  });

  it.each(['verify-ca', 'require'])(
    'succeeds with %s and a root certificate whatever the host name is',
    async (sslMode) => {
      expect(await connect(made.elsewhere, withCa({ sslMode }))).toBe('encrypted');
      expect(await connect(made.elsewhere, withCa({ sslMode, host: '127.0.0.1' }), '127.0.0.1')).toBe('encrypted');
    },
  );

  it.each(['verify-ca', 'require', 'verify-full'])(
    'fails with %s when the certificate has expired',
    async (sslMode) => {
      expect(await connect(made.expired, withCa({ sslMode }))).toHaveProperty('code', 'CERT_HAS_EXPIRED');
    },
  );

  it.each(['require', 'no-verify'])(
    'succeeds with %s and no root certificate, whatever the server shows',
    async (sslMode) => {
      const ssl = decide({ host: 'localhost', sslMode });
      for (const certificate of [made.local, made.elsewhere, made.expired, made.selfSigned]) {
        expect(await connect(certificate, ssl)).toBe('encrypted');
      }
    },
  );

  it('ignores a root certificate with no-verify', async () => {
    expect(await connect(made.selfSigned, withCa({ sslMode: 'no-verify' }))).toBe('encrypted');
  });

  it('does not take place with disable', async () => {
    expect(await connect('no TLS', decide({ host: 'localhost', sslMode: 'disable' }))).toBe('readable');
  });

  it.each(['require', 'no-verify', 'verify-full'])(
    'does not go on in the clear with %s when the server has no TLS',
    async (sslMode) => {
      const result = await connect('no TLS', decide({ host: 'localhost', sslMode }));
      expect(result).toHaveProperty('message', 'The server does not support SSL connections');
    },
  );

  it('trusts what the Lambda runtime brings, besides Node’s own roots', async () => {
    const facts = { host: 'localhost', sslMode: 'verify-full', runtimeCaFile: made.caFile };
    const ssl = tlsFor(facts);
    expect(ssl).toHaveProperty('trusts', `Node's own root certificates and ${made.caFile}`);
    expect(await connect(made.local, ssl)).toBe('encrypted');
    expect(await connect(made.elsewhere, ssl)).toHaveProperty('code', 'ERR_TLS_CERT_ALTNAME_INVALID');
  });

  it.skipIf(typeof tls.setDefaultCACertificates !== 'function')(
    'trusts what Node was told to trust, besides what the Lambda runtime brings',
    async () => {
      const before = tls.getCACertificates('default');
      tls.setDefaultCACertificates([...before, readFileSync(made.caFile, 'utf8')]);
      try {
        expect(await connect(made.local, tlsFor({ sslMode: 'verify-full', runtimeCaFile: made.otherCaFile }))).toBe(
          'encrypted',
        );
      } finally {
        tls.setDefaultCACertificates(before);
      }
    },
  );

  it('keeps a file that is trusted alone apart from the same file beside Node’s own roots', () => {
    const alone = decide({ host: 'db', sslRootCert: made.caFile });
    const beside = decide({ host: 'db', runtimeCaFile: made.caFile });
    expect(alone && beside && alone.secureContext !== beside.secureContext).toBe(true);
  });

  it('trusts a given root certificate and not what the Lambda runtime brings', async () => {
    const ssl = tlsFor({ host: 'localhost', sslRootCert: made.otherCaFile, runtimeCaFile: made.caFile });
    expect(await connect(made.local, ssl)).toHaveProperty('code', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE');
  });

  it('leaves the runtime’s file out for an RDS Proxy, whose authority Node knows', () => {
    const runtimeCaFile = made.caFile;
    for (const host of [
      'p.proxy-abc.eu-west-1.rds.amazonaws.com',
      'r.endpoint.proxy-abc.cn-north-1.rds.amazonaws.com.cn',
      'p.proxy-abc.eu-west-1.rds.amazonaws.com.',
    ]) {
      expect(tlsFor({ host, runtimeCaFile })).toHaveProperty('trusts', "Node's own root certificates");
    }
    for (const host of ['db.abc.eu-west-1.rds.amazonaws.com', 'p.proxy-abc.example.com', 'my-proxy.internal']) {
      expect(tlsFor({ host, runtimeCaFile })).toHaveProperty('secureContext');
    }
  });

  it('reads each file once', async () => {
    const path = join(made.folder, 'once.pem');
    writeFileSync(path, readFileSync(made.caFile));
    const first = decide({ host: 'localhost', sslRootCert: path });
    writeFileSync(path, 'gone');
    const second = decide({ host: 'localhost', sslRootCert: path });
    expect(second && first && second.secureContext === first.secureContext).toBe(true);
    expect(await connect(made.local, second)).toBe('encrypted');
  });

  it('reads a file again that could not be used', () => {
    const path = join(made.folder, 'later.pem');
    expect(() => decide({ host: 'db', sslRootCert: path })).toThrow('ENOENT');
    writeFileSync(path, readFileSync(made.caFile));
    expect(decide({ host: 'db', sslRootCert: path })).toHaveProperty('secureContext');
  });

  it('takes every certificate of a file, comments between them included', async () => {
    const path = join(made.folder, 'two.pem');
    writeFileSync(
      path,
      `# other – é\n${readFileSync(made.otherCaFile, 'utf8')}\n# ours\r\n${readFileSync(made.caFile, 'utf8')}`,
    );
    expect(await connect(made.local, decide({ host: 'localhost', sslRootCert: path }))).toBe('encrypted');
  });

  it('is not tried with a damaged file', () => {
    const path = join(made.folder, 'damaged.pem');
    const lines = readFileSync(made.caFile, 'utf8').trim().split('\n');
    lines.splice(-3, 2);
    writeFileSync(path, `${readFileSync(made.otherCaFile, 'utf8')}${lines.join('\n')}\n`);
    expect(() => decide({ host: 'db', sslRootCert: path })).toThrow(`Certificate 2 of 2 in "${path}" is damaged`);
    expect(() => decide({ host: 'db', sslRootCert: join(made.folder, 'local.key') })).toThrow(
      'has no "BEGIN CERTIFICATE"',
    );
  });

  it('follows the decision and not the connection string, once that is split', async () => {
    const port = await serve(made.elsewhere);
    const given = `postgres://app:x@localhost:${port}/shop?sslmode=verify-ca&sslrootcert=${encodeURIComponent(made.caFile)}`;
    const { connectionString, ...facts } = splitSslFromUrl(given);
    const client = new pg.Client({ connectionString, ssl: tlsFor({ host: 'localhost', ...facts }) });
    client.on('error', () => {});
    await expect(client.connect()).resolves.not.toThrow();
  });

  describe('that fails is explained', () => {
    const explain = async (
      certificate: ServerCertificate | 'no TLS',
      ssl: false | TlsOptions,
      host = 'localhost',
    ): Promise<string | undefined> => explainTlsError(await connect(certificate, ssl, host), { host, tls: ssl });

    it('by what was trusted, when the authority is unknown', async () => {
      const unknown = await explain(made.local, decide({ host: 'localhost', sslRootCert: made.otherCaFile }));
      expect(unknown).toMatch(
        /^The certificate of localhost \(subject local, issued by authority, valid from .* GMT to .* GMT\) comes from an unknown authority; /,
      );
      expect(unknown).toContain(`trusted was the certificates in ${made.otherCaFile}`);
      expect(unknown).toContain('Set PGSSLROOTCERT');
      const chain = await explain(made.withChain, decide({ sslMode: 'verify-full' }));
      expect(chain).toContain("trusted was Node's own root certificates.");
      expect(await explain(made.selfSigned, withCa({}))).toMatch(
        /subject localhost, issued by localhost.* is signed by itself/,
      );
    });

    it('by what the ssl option trusted', async () => {
      const ssl = { ca: readFileSync(made.otherCaFile) };
      expect(await explain(made.local, ssl)).toContain('trusted was the ca of the ssl option');
    });

    it('by the names in the certificate, when it is for another host', async () => {
      const text = await explain(made.elsewhere, withCa({}));
      expect(text).toContain('subject elsewhere, issued by authority, valid from ');
      expect(text).toContain('it is for DNS:db.example.com, not for localhost');
      expect(text).toContain('PGSSLMODE=verify-ca');
    });

    it('by its age', async () => {
      expect(await explain(made.expired, withCa({}))).toMatch(
        /^The certificate of localhost \(subject expired, issued by authority, valid from .* to .* GMT\) has expired: the clock here says \d{4}-.*Z, and trusted was .*authority\.pem/,
      );
    });

    it('by the server’s lack of TLS', async () => {
      expect(await explain('no TLS', withCa({}))).toContain('localhost answered that it has no TLS');
    });
  });
});

describe('explainTlsError', () => {
  const facts = { host: 'x.abc.eu-west-1.rds.amazonaws.com', tls: true };
  const because = (code: string | undefined, message = ''): string | undefined =>
    explainTlsError(Object.assign(new Error(message), { code }), facts);

  it('says where Amazon’s authorities are for an RDS host', () => {
    expect(because('SELF_SIGNED_CERT_IN_CHAIN')).toContain(
      'https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem',
    );
    expect(explainTlsError({ code: 'SELF_SIGNED_CERT_IN_CHAIN' }, { host: 'db', tls: true })).not.toContain(
      'amazonaws',
    );
  });

  it.each([
    ['ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL', '', 'sslnegotiation=direct'],
    ['ECONNRESET', 'Client network socket disconnected before secure TLS connection was established', 'PostgreSQL 17'],
    ['ERR_SSL_WRONG_VERSION_NUMBER', '', 'check host and port'],
    [undefined, 'There was an error establishing an SSL connection', 'check host and port'],
    ['ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION', '', 'TLS 1.2'],
    ['ERR_SSL_UNSUPPORTED_PROTOCOL', '', 'TLS 1.2'],
    ['ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE', '', 'ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE'],
    ['CERT_NOT_YET_VALID', '', 'is not valid yet'],
    ['28000', 'no pg_hba.conf entry for host "10.0.0.7", user "app", database "shop", no encryption', 'without TLS'],
    ['28000', 'no pg_hba.conf entry for host "10.0.0.7", user "app", database "shop", SSL off', 'without TLS'],
    ['28000', 'This RDS Proxy requires TLS connections', 'without TLS'],
    ['08P01', 'SSL required', 'without TLS'],
    ['EPROTO', 'write EPROTO 40BD:error:0A00010B:SSL routines:x:wrong version number:x', 'check host and port'],
  ])('explains %s %s', (code, message, expected) => {
    expect(because(code, message)).toContain(expected);
    expect(because(code, message)).toContain(facts.host);
  });

  it.each([
    ['28P01', 'password authentication failed for user "app"'],
    ['28000', 'no pg_hba.conf entry for host "10.0.0.7", user "app", database "shop", SSL encryption'],
    ['XX000', 'no encryption'],
    ['ECONNRESET', 'read ECONNRESET'],
    ['EPROTO', 'write EPROTO of some other kind'],
    ['08P01', 'query_wait_timeout'],
    ['ECONNREFUSED', 'connect ECONNREFUSED 127.0.0.1:5432'],
  ])('has nothing to say about %s %s', (code, message) => {
    expect(because(code, message)).toBeUndefined();
  });

  it('names the authority’s certificate where the server’s own is in order', () => {
    const cert = {
      subject: { O: 'Example' },
      issuer: { CN: ['a', 'b'] },
      valid_from: 'Jan  1 00:00:00 2026 GMT',
      valid_to: 'Jan  1 00:00:00 2999 GMT',
    };
    const text = explainTlsError({ code: 'CERT_HAS_EXPIRED', cert }, facts);
    expect(text).toContain('The certificate of an authority that vouches for x.abc');
    expect(text).toContain(
      '(subject Example, issued by a + b, valid from Jan  1 00:00:00 2026 GMT to Jan  1 00:00:00 2999 GMT)',
    );
    expect(
      explainTlsError({ code: 'CERT_NOT_YET_VALID', cert: { ...cert, valid_from: cert.valid_to } }, facts),
    ).toMatch(/^The certificate of x\.abc.* is not valid yet/);
  });

  it('says so when the certificate is not known', () => {
    expect(because('CERT_HAS_EXPIRED')).toMatch(/^A certificate of x\.abc.*, or of an authority that vouches for it/);
  });

  it('names the certificate where it was refused for some other reason', () => {
    const cert = { subject: { CN: 'db' } };
    expect(explainTlsError({ code: 'UNSPECIFIED', message: 'EE certificate key too weak', cert }, facts)).toBe(
      `The certificate of ${facts.host} (subject db) was not accepted (UNSPECIFIED: EE certificate key too weak); trusted was Node's own root certificates.`,
    );
  });

  it.each([[undefined], [null], ['text'], [{ code: 7 }], [{}]])(
    'takes %s for an error that is not its own',
    (error) => {
      expect(explainTlsError(error, facts)).toBeUndefined();
    },
  );
});

describe('the page about TLS', () => {
  const words = (text: string): string => text.replaceAll(/\s+/g, ' ');
  const page = words(readFileSync(join(import.meta.dirname, '../../docs/tls.md'), 'utf8'));
  const host = 'db.example.com';
  const cert = {
    subject: { CN: 'db' },
    issuer: { CN: 'Example CA' },
    valid_from: 'Jan  1 00:00:00 2026 GMT',
    valid_to: 'Jan  1 00:00:00 2027 GMT',
    subjectaltname: 'DNS:db.internal',
  };
  const before = { ...cert, valid_from: 'Jan  1 00:00:00 2025 GMT', valid_to: 'Jan  1 00:00:00 2026 GMT' };

  it.each<[string, object, string?]>([
    ['an unknown authority', { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', cert }],
    ['Amazon’s', { code: 'SELF_SIGNED_CERT_IN_CHAIN' }, 'shop.abc.eu-west-1.rds.amazonaws.com'],
    ['no authority', { code: 'DEPTH_ZERO_SELF_SIGNED_CERT', cert }],
    ['another name', { code: 'ERR_TLS_CERT_ALTNAME_INVALID', cert }],
    ['age', { code: 'CERT_HAS_EXPIRED', cert: before }],
    ['a server without TLS', { message: 'The server does not support SSL connections' }],
    ['a server that insists', { code: '28000', message: 'no pg_hba.conf entry for host "::1", no encryption' }],
    ['something else', { code: 'ERR_SSL_WRONG_VERSION_NUMBER' }],
    [
      'a server that hangs up',
      { message: 'Client network socket disconnected before secure TLS connection was established' },
    ],
    ['an old TLS', { code: 'ERR_SSL_UNSUPPORTED_PROTOCOL' }],
  ])('shows what is said of %s', (_, error, at = host) => {
    const text = explainTlsError(error, { host: at, tls: true });
    expect(text).toBeTypeOf('string');
    expect(page).toContain(`> \`${words(text ?? '').replace(/clock here says [^,]*,/, 'clock here says …,')}\``);
  });

  it('has every mode in its table', () => {
    const rule = variables.find(({ option }) => option === 'sslMode')?.rule;
    for (const word of rule?.kind === 'word' ? rule.words : [])
      expect(page).toMatch(new RegExp(`\\| [^|]*\`${word}\``));
  });
});
