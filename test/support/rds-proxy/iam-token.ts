/**
 * Checks an IAM token as RDS does: a presigned GET for the service `rds-db`, signed anew here and compared. Written from
 * "Create a signed AWS API request" and "Authentication methods" (query string) in the IAM User Guide, without the SDK.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

/** A key that may sign tokens. */
export interface AccessKey {
  readonly secretAccessKey: string;
  /** Temporary credentials have one, and their tokens must hold it. */
  readonly sessionToken?: string;
  /** When the credentials end, and every token signed with them; milliseconds since 1970. @default never */
  readonly validUntil?: number;
}

/** What a token must be for. */
export interface TokenRules {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly region: string;
  /** By access key id. */
  readonly accessKeys: Readonly<Record<string, AccessKey>>;
  /** Wall clock, milliseconds since 1970. */
  readonly now: number;
}

/** "Each token has a lifetime of 15 minutes" (RDS User Guide, IAM database authentication); in seconds. */
const MAX_EXPIRES = 900;
/** How far ahead a signer's clock may be: AWS takes requests within five minutes; in milliseconds. */
const MAX_SKEW = 5 * 60_000;
const ALGORITHM = 'AWS4-HMAC-SHA256';
const SERVICE = 'rds-db';

/** RFC 3986: encodeURIComponent leaves five characters that SigV4 encodes. */
function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const hmac = (key: Buffer | string, text: string): Buffer => createHmac('sha256', key).update(text).digest();

function signature(parameters: ReadonlyMap<string, string>, scope: string, secret: string, host: string): Buffer {
  const canonicalQuery = [...parameters]
    .filter(([name]) => name !== 'X-Amz-Signature')
    .map(([name, value]) => [encode(name), encode(value)] as const)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map((pair) => pair.join('='))
    .join('&');
  const canonicalRequest = ['GET', '/', canonicalQuery, `host:${host}`, '', 'host', sha256('')].join('\n');
  const toSign = [ALGORITHM, parameters.get('X-Amz-Date'), scope, sha256(canonicalRequest)].join('\n');
  const key = scope.split('/').reduce<Buffer | string>((key, part) => hmac(key, part), `AWS4${secret}`);
  return hmac(key, toSign);
}

function parseDate(text: string): number {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (match === null) return Number.NaN;
  const [, year, month, day, hour, minute, second] = match;
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
}

function parseQuery(text: string): Map<string, string> | string {
  const parameters = new Map<string, string>();
  for (const pair of text.split('&')) {
    const [name = '', value = ''] = pair.split('=').map(decodeURIComponent);
    if (parameters.has(name)) return `${name} is there twice`;
    parameters.set(name, value);
  }
  return parameters;
}

function wrongTime(parameters: ReadonlyMap<string, string>, rules: TokenRules, key: AccessKey): string | undefined {
  const date = parseDate(parameters.get('X-Amz-Date') ?? '');
  const expires = Number(parameters.get('X-Amz-Expires'));
  if (Number.isNaN(date)) return 'X-Amz-Date is no date';
  if (!Number.isInteger(expires) || expires < 1 || expires > MAX_EXPIRES) {
    return `X-Amz-Expires is ${parameters.get('X-Amz-Expires')}, not 1 to ${MAX_EXPIRES} seconds`;
  }
  if (rules.now < date - MAX_SKEW) return `signed ${date - rules.now} ms in the future`;
  if (rules.now > date + expires * 1000) return `expired ${rules.now - date - expires * 1000} ms ago`;
  if (key.validUntil !== undefined && rules.now > key.validUntil) {
    return `the credentials that signed it ended ${rules.now - key.validUntil} ms ago`;
  }
  return undefined;
}

function wrongScope(scope: readonly string[], parameters: ReadonlyMap<string, string>, rules: TokenRules) {
  const [date, region, service, end] = scope;
  if (scope.length !== 4 || end !== 'aws4_request') return 'the credential scope has another form';
  if (region !== rules.region) return `signed for the region ${region}, not ${rules.region}`;
  if (service !== SERVICE) return `signed for the service ${service}, not ${SERVICE}`;
  if (date !== parameters.get('X-Amz-Date')?.slice(0, 8)) return 'the dates of scope and X-Amz-Date differ';
  return undefined;
}

function wrongParameters(parameters: ReadonlyMap<string, string>, rules: TokenRules): string | undefined {
  const fixed = { Action: 'connect', 'X-Amz-Algorithm': ALGORITHM, 'X-Amz-SignedHeaders': 'host' };
  for (const [name, value] of Object.entries(fixed)) {
    if (parameters.get(name) !== value) return `${name} is not ${value}`;
  }
  if (parameters.get('DBUser') !== rules.user)
    return `signed for the user ${parameters.get('DBUser')}, not ${rules.user}`;
  return undefined;
}

/** Says what is wrong with a token, in words that hold nothing secret; nothing when it is right. */
export function whyTokenRefused(token: string, rules: TokenRules): string | undefined {
  const [, host = '', query = ''] = /^([^/?#\s]+)\/\?([^#\s]+)$/.exec(token) ?? [];
  if (query === '') return 'not of the form host:port/?parameters';
  const expected = `${rules.host}:${rules.port}`;
  if (host !== expected) return `signed for ${host}, not ${expected}`;
  let parameters: Map<string, string> | string;
  try {
    parameters = parseQuery(query);
  } catch {
    return 'a parameter is not URL-encoded';
  }
  if (typeof parameters === 'string') return parameters;
  const wrong = wrongParameters(parameters, rules);
  if (wrong !== undefined) return wrong;

  const [accessKeyId = '', ...scope] = (parameters.get('X-Amz-Credential') ?? '').split('/');
  const key = Object.hasOwn(rules.accessKeys, accessKeyId) ? rules.accessKeys[accessKeyId] : undefined;
  if (key === undefined) return `the access key ${accessKeyId} is unknown`;
  const late = wrongScope(scope, parameters, rules) ?? wrongTime(parameters, rules, key);
  if (late !== undefined) return late;
  if (parameters.get('X-Amz-Security-Token') !== key.sessionToken) return 'the session token is another one or missing';

  const computed = signature(parameters, scope.join('/'), key.secretAccessKey, expected);
  const given = parameters.get('X-Amz-Signature') ?? '';
  if (!/^[0-9a-f]{64}$/.test(given)) return 'X-Amz-Signature is no signature';
  return timingSafeEqual(Buffer.from(given, 'hex'), computed) ? undefined : 'the signature is wrong';
}
