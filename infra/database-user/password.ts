/** What PostgreSQL keeps of a password, computed here, so that the password itself is in no statement and in no server log. */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';

/** PostgreSQL's default of `scram_iterations` (PostgreSQL documentation, 20.3.2). */
const iterations = 4096;

/**
 * Computes the SCRAM-SHA-256 verifier of a password (RFC 5803, in the form of PostgreSQL's `pg_authid.rolpassword`).
 *
 * @throws Error for a password with other characters than those of printable ASCII, which would have to be normalised
 * (RFC 4013) first. It does not hold the password.
 */
export function scramVerifier(password: string, salt: Buffer = randomBytes(16)): string {
  if (!/^[\x20-\x7e]+$/.test(password)) {
    throw new Error('The password is empty or has characters outside printable ASCII: let the secret generate one.');
  }
  const salted = pbkdf2Sync(password, salt, iterations, 32, 'sha256');
  const hmac = (text: string): Buffer => createHmac('sha256', salted).update(text).digest();
  const stored = createHash('sha256').update(hmac('Client Key')).digest('base64');
  return `SCRAM-SHA-256$${iterations}:${salt.toString('base64')}$${stored}:${hmac('Server Key').toString('base64')}`;
}
