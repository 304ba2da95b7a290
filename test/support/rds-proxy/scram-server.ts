/** The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding. */
import { createHash, createHmac, pbkdf2Sync, randomBytes, timingSafeEqual } from 'node:crypto';

/** The only mechanism on offer. */
export const MECHANISM = 'SCRAM-SHA-256';

/** PostgreSQL's own number (`scram_iterations`). */
const ITERATIONS = 4096;

const hmac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();

/** The challenge to one client, and the check of its proof. */
export interface ScramExchange {
  readonly challenge: string;
  /** Returns the server's own proof; nothing when the client does not know the password. */
  finish(clientFinal: string): string | undefined;
}

/** Begins an exchange; nothing when the client's first message is not one. */
export function beginScram(clientFirst: string, password: string): ScramExchange | undefined {
  const [, header, bare, clientNonce] = /^([ny],[^,]*,)(n=[^,]*,r=([^,]+).*)$/.exec(clientFirst) ?? [];
  if (header === undefined || bare === undefined || clientNonce === undefined) return undefined;
  const nonce = clientNonce + randomBytes(18).toString('base64');
  const salt = randomBytes(16);
  const challenge = `r=${nonce},s=${salt.toString('base64')},i=${ITERATIONS}`;
  const binding = Buffer.from(header).toString('base64');
  return {
    challenge,
    finish(clientFinal) {
      const [, withoutProof, proof] = /^(.*),p=([^,]+)$/.exec(clientFinal) ?? [];
      if (withoutProof !== `c=${binding},r=${nonce}` || proof === undefined) return undefined;
      const salted = pbkdf2Sync(password.normalize('NFKC'), salt, ITERATIONS, 32, 'sha256');
      const storedKey = createHash('sha256').update(hmac(salted, 'Client Key')).digest();
      const signed = `${bare},${challenge},${withoutProof}`;
      const clientSignature = hmac(storedKey, signed);
      const given = Buffer.from(proof, 'base64');
      if (given.length !== clientSignature.length) return undefined;
      const clientKey = given.map((byte, at) => byte ^ (clientSignature[at] ?? 0));
      if (!timingSafeEqual(createHash('sha256').update(clientKey).digest(), storedKey)) return undefined;
      return `v=${hmac(hmac(salted, 'Server Key'), signed).toString('base64')}`;
    },
  };
}
