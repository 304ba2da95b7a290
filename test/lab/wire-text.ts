/** Puts a protocol message into a few words for the trace. Passwords and parameter values never appear in them. */

const SHOWN_CHARACTERS = 120;

/** `CREATE ROLE … PASSWORD 'x'` and its like. */
const PASSWORD_CLAUSE = /(\bpassword\s+)(?:E|U&)?'(?:[^']|'')*'?/gi;

const AUTHENTICATION: Readonly<Record<number, string>> = {
  0: 'Ok',
  3: 'CleartextPassword',
  5: 'MD5Password',
  10: 'SASL',
  11: 'SASLContinue',
  12: 'SASLFinal',
};

function quote(text: string): string {
  const line = text.replace(PASSWORD_CLAUSE, "$1'…'").replace(/\s+/g, ' ').trim();
  return JSON.stringify(line.length > SHOWN_CHARACTERS ? `${line.slice(0, SHOWN_CHARACTERS - 1)}…` : line);
}

function strings(body: Buffer, from: number): string[] {
  const parts = body.toString('utf8', from).split('\0');
  return parts.at(-1) === '' ? parts.slice(0, -1) : parts;
}

/** Shows the parameters of a startup message: `user=app database=app`. */
export function startupText(body: Buffer): string {
  const words = strings(body, 4);
  const pairs: string[] = [];
  for (let i = 0; i + 1 < words.length; i += 2) if (words[i] !== '') pairs.push(`${words[i]}=${words[i + 1]}`);
  return pairs.join(' ');
}

/** Shows what the client says: the statement's text, or the names of statement and portal. */
export function frontendText(name: string, body: Buffer): string {
  const words = strings(body, 0);
  switch (name) {
    case 'Query':
      return quote(words[0] ?? '');
    case 'Parse':
      return words[0] ? `${words[0]} ${quote(words[1] ?? '')}` : quote(words[1] ?? '');
    case 'Bind':
      return words[1] ?? '';
    case 'Describe':
    case 'Close': {
      const kind = body[0] === 0x53 ? 'statement' : 'portal'; // 0x53 is "S".
      return `${kind} ${strings(body, 1)[0] ?? ''}`.trim();
    }
    default:
      return '';
  }
}

/** Returns one field of an ErrorResponse or NoticeResponse, for example `C` for its SQLSTATE. */
function field(body: Buffer, code: string): string {
  return (
    strings(body, 0)
      .find((word) => word.startsWith(code))
      ?.slice(1) ?? ''
  );
}

/** Shows what the server says: the error's code and message, the command's tag, the transaction status. */
export function backendText(name: string, body: Buffer): string {
  switch (name) {
    case 'ErrorResponse':
    case 'NoticeResponse':
      return `${field(body, 'S')} ${field(body, 'C')} ${field(body, 'M')}`;
    case 'CommandComplete':
      return strings(body, 0)[0] ?? '';
    case 'ReadyForQuery':
      return body.toString('latin1', 0, 1);
    case 'Authentication':
      return body.length >= 4 ? (AUTHENTICATION[body.readInt32BE(0)] ?? String(body.readInt32BE(0))) : '';
    case 'BackendKeyData':
      return body.length >= 4 ? `process ${body.readInt32BE(0)}` : '';
    case 'ParameterStatus':
      return strings(body, 0).slice(0, 2).join('=');
    case 'NotificationResponse':
      return strings(body, 4)[0] ?? '';
    default:
      return '';
  }
}
