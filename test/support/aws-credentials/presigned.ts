/**
 * Reads a token and signs it anew, without the SDK: a presigned GET, after "Create a signed AWS API request" in the IAM
 * User Guide. Whether it is for the right place is for the test to say.
 */
import { createHash, createHmac } from 'node:crypto';

/** What a token says. */
export interface Presigned {
  /** With the port, where it has one. */
  readonly host: string;
  readonly region: string;
  readonly service: string;
  readonly accessKeyId: string;
  /** Milliseconds since 1970. */
  readonly signedAt: number;
  /** All parameters but those above and the signature. */
  readonly parameters: Readonly<Record<string, string>>;
  /** Whether it was signed with this key. */
  signedWith(secretAccessKey: string): boolean;
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const hmac = (key: Buffer | string, text: string): Buffer => createHmac('sha256', key).update(text).digest();

/** Takes a token apart. @throws Error when it is none. */
export function readPresigned(token: string): Presigned {
  const [, host = '', query = ''] = /^([^/?#\s]+)\/\?([^#\s]+)$/.exec(token) ?? [];
  if (query === '') throw new Error('not of the form host/?parameters');
  const pairs = query.split('&').map((pair) => pair.split('=') as [string, string]);
  const { 'X-Amz-Signature': signature, ...given } = Object.fromEntries(
    pairs.map(([name, value]) => [decodeURIComponent(name), decodeURIComponent(value)]),
  );
  const { 'X-Amz-Credential': credential = '', 'X-Amz-Date': date = '', ...parameters } = given;
  const [accessKeyId = '', day = '', region = '', service = '', end = ''] = credential.split('/');
  // Sorted by name, encoded as they came: that they are encoded as SigV4 wants it shows when the signature is right.
  const canonicalQuery = pairs
    .filter(([name]) => name !== 'X-Amz-Signature')
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map((pair) => pair.join('='))
    .join('&');
  const canonical = ['GET', '/', canonicalQuery, `host:${host}`, '', 'host', sha256('')].join('\n');
  const toSign = ['AWS4-HMAC-SHA256', date, [day, region, service, end].join('/'), sha256(canonical)].join('\n');
  return {
    host,
    region,
    service,
    accessKeyId,
    signedAt: Date.parse(date.replace(/^(....)(..)(..T..)(..)(..)Z$/, '$1-$2-$3:$4:$5Z')),
    parameters,
    signedWith: (secret) => {
      const key = [day, region, service, end].reduce<Buffer | string>(
        (last, part) => hmac(last, part),
        `AWS4${secret}`,
      );
      return end === 'aws4_request' && hmac(key, toSign).toString('hex') === signature;
    },
  };
}
