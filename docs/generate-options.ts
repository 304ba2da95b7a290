/**
 * Writes `options.md` out of the table in `src/env.ts`, so that the page cannot say anything that the code does not do.
 *
 * `node docs/generate-options.ts` writes the page; `--check` writes nothing and exits with 1 when the page is stale.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Group, type Rule, type Variable, variables } from '../src/env.ts';
import { descriptions } from '../src/env-descriptions.ts';

const page = new URL('options.md', import.meta.url);

const chapters: Readonly<Record<Group, { title: string; text: string }>> = {
  connect: {
    title: 'Where to connect',
    text: 'The `PG…` variables are those of `psql` and every other PostgreSQL client.',
  },
  limits: {
    title: 'Limits',
    text: 'How many connections one sandbox may have, how many it keeps over a freeze, and what each of them keeps.',
  },
  time: { title: 'Time', text: 'How long things may take and how long a connection lives.' },
  proof: { title: 'Proof of life', text: 'When a connection is asked whether it is alive before a handler gets it.' },
  routing: { title: 'Routing', text: 'The way to the server.' },
  telemetry: { title: 'Telemetry', text: 'What is written about the pool.' },
};

const introduction = `# Options

<!-- Generated from src/env.ts by docs/generate-options.ts: change the table there, then run \`node docs/generate-options.ts\`. -->

Every option can be given in code; those below can also be set by an environment variable, so that one bundle can be
tuned for each function that runs it.

* **The option given in code wins**, then the environment variable, then the default.
* **A bad value is an error.** It names every bad variable at once, the value and what is allowed; a password is never
  shown. Nothing is rounded, cut to fit or silently replaced.
* **An unknown \`THAWPOOL_…\` name is a warning** that says which known name is nearest, since it is most likely a typing error.
* **An empty variable counts as not set.** Numbers are whole and decimal, durations are milliseconds.

\`\`\`sh
DATABASE_URL=postgres://app:secret@db.example.com:5432/shop
THAWPOOL_MAX=2                   # this function runs 200 at once: 400 connections at most
THAWPOOL_ACQUIRE_TIMEOUT_MS=3000
\`\`\`

\`\`\`ts
import { getPool } from 'thawpool';

const db = getPool({ acquireTimeoutMillis: 2000 }); // max is 2, from the environment; 2000 wins over 3000
\`\`\`
`;

/** What has no variable: most of it is no text. */
const inCode = `
## In code only

* **\`name\`** (\`default\`): the pool's name in the registry, in warnings and in metrics. \`getPool()\` makes one pool for each name.
* **\`reset\`** (\`auto\`; \`always\`, \`never\`): when a session is cleaned before its next user. See [failures](failures.md#what-a-session-leaves-behind).
* **\`password\`** may be a function, asked for each connection, or a source of credentials. See [IAM](iam.md#a-signer-of-your-own) and [secrets](secrets.md#in-code).
* **\`ssl\`**: pg's own, as \`tls.connect\` takes it; it wins over \`sslMode\` and the rest. See [TLS](tls.md).
* **\`onWarning\`** (\`process.emitWarning\`): hears what should be looked at but fails nothing.
* **\`env\`** (\`process.env\`), **\`clock\`**: the environment to read and the clocks to go by, for tests. See [testing](testing.md).
* **\`Client\`**: what makes the clients, pg's unless given.
* **\`keepAlive\`** (\`true\`), **\`keepAliveInitialDelayMillis\`** (30000): TCP keepalive. It proves nothing after a freeze; see [strategies](strategies.md#what-persists-and-for-how-long).
* **Everything that pg's \`Client\` and \`Pool\` take**, such as \`types\`, \`query_timeout\`, \`onConnect\`, \`verify\`, \`maxUses\`, \`min\`. See [migrating](migrating.md).

\`withPool\` and \`pgPool\` take all of these, and besides **\`pool\`**, a pool that exists, and **\`contextKey\`** (\`db\`), the
property of the context that gets it.
`;

function allowed(rule: Rule): string {
  if (rule.kind === 'integer') return `${rule.min} to ${rule.max}${rule.unit === 'ms' ? ' ms' : ''}`;
  if (rule.kind !== 'word') return rule.expects;
  return rule.words.map((word) => `\`${word}\``).join(', ');
}

function row(variable: Variable): string {
  const { option, name, rule } = variable;
  const doc = descriptions[name] ?? '';
  const isValue =
    typeof variable.default === 'number' || (rule.kind === 'word' && rule.words.includes(variable.default));
  const byDefault = isValue ? `\`${variable.default}\`` : variable.default;
  return `| \`${option}\` | \`${name}\` | ${byDefault} | ${allowed(rule)} | ${doc} |`;
}

/** Renders the whole page. */
export function renderOptions(): string {
  const sections = Object.entries(chapters).map(([group, { title, text }]) => {
    const rows = variables.filter((variable) => variable.group === group).map(row);
    const head = '| option | environment | default | allowed | meaning, and why |\n|---|---|---|---|---|';
    return `\n## ${title}\n\n${text}\n\n${head}\n${rows.join('\n')}\n`;
  });
  return introduction + sections.join('') + inCode;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const rendered = renderOptions();
  if (!process.argv.includes('--check')) {
    writeFileSync(page, rendered);
  } else if (readFileSync(page, 'utf8') !== rendered) {
    console.error('docs/options.md is stale: run `node docs/generate-options.ts`.');
    process.exitCode = 1;
  }
}
