/** Checks AWS Signature Version 4 as the service does (AWS IAM User Guide, "Create a signed AWS API request"). */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

/** Keys that the tests sign with. */
export const testIdentity = {
  accessKeyId: 'AKIDTHAWPOOLTEST0001',
  secretAccessKey: 'test/only/secret/access/key',
  sessionToken: 'test-session-token',
} as const;

const sha256 = (text: string | Buffer): string => createHash('sha256').update(text).digest('hex');
const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();

/** Says what is wrong with a request's signature; nothing when it is right. */
export function signatureFault(request: IncomingMessage, body: Buffer, region: string): string | undefined {
  const { authorization } = request.headers;
  const parts =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(
      authorization ?? '',
    );
  if (!parts) return 'MissingAuthenticationTokenException';
  const [, keyId = '', day = '', signedRegion = '', service = '', names = '', signature = ''] = parts;
  if (keyId !== testIdentity.accessKeyId) return 'UnrecognizedClientException';
  if (signedRegion !== region || service !== 'secretsmanager') return 'InvalidSignatureException';
  if (request.headers['x-amz-security-token'] !== testIdentity.sessionToken) return 'UnrecognizedClientException';
  const value = (name: string): string => String(request.headers[name] ?? '').trim();
  const canonical = [
    request.method,
    '/',
    '',
    ...names.split(';').map((name) => `${name}:${value(name)}`),
    '',
    names,
    sha256(body),
  ].join('\n');
  const scope = `${day}/${region}/secretsmanager/aws4_request`;
  const text = ['AWS4-HMAC-SHA256', value('x-amz-date'), scope, sha256(canonical)].join('\n');
  const key = [region, 'secretsmanager', 'aws4_request'].reduce<Buffer>(
    (made, part) => hmac(made, part),
    hmac(`AWS4${testIdentity.secretAccessKey}`, day),
  );
  const expected = hmac(key, text);
  return timingSafeEqual(expected, Buffer.from(signature, 'hex')) ? undefined : 'InvalidSignatureException';
}
