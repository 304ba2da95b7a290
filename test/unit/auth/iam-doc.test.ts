// docs/iam.md against the sources: whoever looks for the text of an error must find it there as it was printed.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';

const root = path.resolve(import.meta.dirname, '../../..');
const words = (text: string): string => text.replaceAll(/[`'"+]|\s+/g, ' ').replaceAll(/ +/g, ' ');
const page = words(readFileSync(path.join(root, 'docs/iam.md'), 'utf8'));
const sources = words(
  ['iam', 'iam-errors', 'iam-signers', 'iam-tokens']
    .map((name) => readFileSync(path.join(root, `src/auth/${name}.ts`), 'utf8'))
    .join('\n'),
);

it.each([
  'needs a user, and none is set',
  'needs the region of',
  'signs its tokens with',
  'which is not installed',
  'found no AWS credentials to sign with (',
  'They should come from the endpoint in',
  'which did not answer or gave none.',
  'Log in again: aws sso login.',
  'has only AWS credentials that expired',
  'was too old before it could be used, twice',
  'makes tokens for',
  'not a name that Amazon gave out',
  'IAM authentication',
])('the page and the sources both say: %s', (text) => {
  expect(page).toContain(words(text));
  expect(sources).toContain(words(text));
});
