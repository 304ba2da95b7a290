/** A client's way in: TLS, the startup packet, and the proof of who it is. Nothing here knows a backend. */
import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import { type SecureContext, TLSSocket } from 'node:tls';
import { ByteReader, ClientGone } from './byte-reader.ts';
import { authentication, cString } from './frames.ts';
import { type AccessKey, whyTokenRefused } from './iam-token.ts';
import type { Ledger, Rule } from './ledger.ts';
import { beginScram, MECHANISM } from './scram-server.ts';
import { Refused, readStartup, type Startup, violation } from './startup.ts';

/** How clients prove who they are. Keys and passwords are looked up at each login: change them to rotate. */
export type ClientAuth =
  | {
      readonly kind: 'iam';
      readonly region: string;
      /** By access key id. */
      readonly accessKeys: Readonly<Record<string, AccessKey>>;
      /** Database users that `rds-db:connect` is granted for. @default all */
      readonly users?: readonly string[];
    }
  | {
      readonly kind: 'password';
      /** Passwords by user. */
      readonly users: Readonly<Record<string, string>>;
    };

/** What a client must keep to get in. */
export interface HandshakeRules {
  readonly secureContext: SecureContext | undefined;
  readonly requireTls: boolean;
  readonly auth: ClientAuth;
  /** What tokens must be signed for. */
  readonly host: string;
  readonly port: () => number;
  readonly now: () => number;
}

/** A client that has logged in. */
export interface Admitted {
  readonly startup: Startup;
  readonly socket: Socket;
  /** Hands the socket over, with the bytes that came along with the login; until then what it sends is kept. */
  readonly release: () => Buffer;
}

const CANCEL_REQUEST = 80877102;
const SSL_REQUEST = 80877103;
const GSSENC_REQUEST = 80877104;
const TLS_HANDSHAKE = 0x16; // First byte of a TLS record that holds a ClientHello (RFC 8446, 5.1).
/** PostgreSQL takes no longer startup packet (`MAX_STARTUP_PACKET_LENGTH`) and password (`PG_MAX_AUTH_TOKEN_LENGTH`). */
const MAX_STARTUP = 10_000;
const MAX_PASSWORD = 65_535;

/** Leads one client in. */
export class Handshake {
  readonly #rules: HandshakeRules;
  readonly #ledger: Ledger;
  #reader: ByteReader;
  /** Where answers go: the TLS socket once there is one. */
  socket: Socket;

  constructor(socket: Socket, rules: HandshakeRules, ledger: Ledger) {
    this.#rules = rules;
    this.#ledger = ledger;
    this.socket = socket;
    this.#reader = new ByteReader(socket);
  }

  /** @throws Refused with what the client is told, ClientGone when it left or only asked for a cancellation. */
  async run(): Promise<Admitted> {
    const packet = await this.#startupPacket();
    const secure = this.socket instanceof TLSSocket;
    if (!secure && this.#rules.requireTls) {
      const message = 'This RDS Proxy requires TLS connections';
      throw new Refused({ rule: 'tls', code: '28000', message, reason: 'a startup packet without TLS' });
    }
    let startup: Startup;
    try {
      startup = readStartup(packet);
    } catch (error) {
      throw error instanceof RangeError ? violation(`startup packet: ${error.message}`) : error;
    }
    if (this.#rules.auth.kind === 'iam') await this.#checkToken(startup.user, this.#rules.auth, secure);
    else await this.#checkPassword(startup.user, this.#rules.auth.users);
    return { startup, socket: this.socket, release: () => this.#reader.release() };
  }

  /** Answers requests for encryption until the startup packet comes. */
  async #startupPacket(): Promise<Buffer> {
    for (;;) {
      const [first] = await this.#reader.peek(1);
      if (first === TLS_HANDSHAKE) {
        throw new Refused({ rule: 'direct-tls', code: '08P01', message: '', reason: 'TLS without an SSLRequest' });
      }
      const length = (await this.#reader.take(4)).readInt32BE(0);
      if (length < 8 || length > MAX_STARTUP) throw violation(`a startup packet of ${length} bytes`);
      const packet = await this.#reader.take(length - 4);
      const code = packet.readInt32BE(0);
      if (code === SSL_REQUEST) this.#answerSslRequest();
      else if (code === GSSENC_REQUEST) this.socket.write('N');
      else if (code === CANCEL_REQUEST) this.#ignoreCancelRequest();
      else return packet;
    }
  }

  #answerSslRequest(): void {
    if (this.socket instanceof TLSSocket) throw violation('an SSLRequest inside TLS');
    // What comes along unencrypted could be somebody else's (CVE-2021-23214).
    if (this.#reader.buffered > 0) throw violation('unencrypted bytes behind an SSLRequest');
    const { secureContext } = this.#rules;
    this.socket.write(secureContext === undefined ? 'N' : 'S');
    if (secureContext === undefined) return;
    this.#reader.release();
    this.socket = new TLSSocket(this.socket, { isServer: true, secureContext });
    this.socket.on('error', () => {}); // Its close follows, and the reader hears that.
    this.#reader = new ByteReader(this.socket);
  }

  #ignoreCancelRequest(): never {
    this.#ledger.cancelRequests += 1;
    const reason = 'RDS Proxy hands out no keys and cancels nothing';
    this.#ledger.refuse({ rule: 'cancel-request', code: '0A000', message: '', reason });
    throw new ClientGone();
  }

  async #passwordMessage(max: number): Promise<Buffer> {
    const head = await this.#reader.take(5);
    const type = String.fromCharCode(head[0] ?? 0);
    const length = head.readInt32BE(1);
    if (type !== 'p') throw violation(`message type ${JSON.stringify(type)} before the login was done`);
    if (length < 5 || length > max) throw violation(`a password message of ${length} bytes`);
    return this.#reader.take(length - 4);
  }

  async #checkToken(user: string, auth: ClientAuth & { kind: 'iam' }, secure: boolean): Promise<void> {
    if (!secure) {
      const message = 'IAM is allowed only with SSL connections.';
      throw new Refused({ rule: 'tls', code: '28000', message, reason: 'IAM without TLS' });
    }
    this.socket.write(authentication(3));
    const password = await this.#passwordMessage(MAX_PASSWORD);
    const { host, now } = this.#rules;
    const { region, accessKeys } = auth;
    const token = password.toString('utf8', 0, password.length - 1);
    const granted = auth.users === undefined || auth.users.includes(user);
    const reason = granted
      ? whyTokenRefused(token, { host, port: this.#rules.port(), user, region, accessKeys, now: now() })
      : `rds-db:connect is not granted for ${user}`;
    if (reason !== undefined) {
      const message = `The IAM authentication failed for the role ${user}. Check the IAM token for this role and try again.`;
      throw new Refused({ rule: 'token', code: '28P01', message, reason });
    }
    this.#ledger.tokens.add(createHash('sha256').update(token).digest('hex'));
  }

  async #checkPassword(user: string, users: Readonly<Record<string, string>>): Promise<void> {
    const refused = (rule: Rule, code: string, message: string, reason: string): Refused =>
      new Refused({ rule, code, message, reason });
    const password = Object.hasOwn(users, user) ? users[user] : undefined;
    if (password === undefined) {
      const message = `This RDS proxy has no credentials for the role ${user}. Check the credentials for this role and try again.`;
      throw refused('user', '28000', message, `no password for ${user}`);
    }
    this.socket.write(authentication(10, `${MECHANISM}\0\0`));
    const initial = await this.#passwordMessage(MAX_PASSWORD);
    const mechanism = cString(initial, 0);
    if (mechanism.text !== MECHANISM) throw violation(`SASL mechanism ${JSON.stringify(mechanism.text)}`);
    const exchange = beginScram(initial.toString('utf8', mechanism.next + 4), password);
    if (exchange === undefined) throw violation('a first SCRAM message of another form');
    this.socket.write(authentication(11, exchange.challenge));
    const proof = exchange.finish((await this.#passwordMessage(MAX_PASSWORD)).toString('utf8'));
    if (proof === undefined) {
      const message = `The password that was provided for the role ${user} is wrong.`;
      throw refused('password', '28P01', message, `wrong password for ${user}`);
    }
    this.socket.write(authentication(12, proof));
  }
}
