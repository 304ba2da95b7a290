// Tags as Datadog takes them. Pure.

/** Datadog's limit of a tag, characters (Datadog, Getting started with tags). */
const longestTag = 200;

/**
 * Writes a tag. Datadog keeps letters, digits and `_ - : . /` and makes an underscore of everything else; here it is done
 * before it is sent, because `|`, `,` and a line's end would end the tag on the wire (Datadog, DogStatsD datagram format).
 */
export function tagOf(key: string, value: string): string {
  return cleaned(`${key}:${value}`);
}

function cleaned(tag: string): string {
  const plain = tag.replaceAll(/[^\p{L}\p{N}_\-:./]/gu, '_');
  return Array.from(plain).slice(0, longestTag).join('');
}

/** Tags as a map, by key: of two with the same key the later one counts. */
export type Tags = ReadonlyMap<string, string>;

/**
 * What Datadog's environment variables say: `DD_TAGS`, and `DD_ENV`, `DD_SERVICE` and `DD_VERSION`, which are above it
 * (Datadog, Unified service tagging).
 */
export function tagsOfEnv(env: Readonly<Record<string, string | undefined>>): Tags {
  const tags = new Map<string, string>();
  // Separated by commas or blanks.
  for (const tag of (env['DD_TAGS'] ?? '').split(/[,\s]+/)) {
    const end = tag.indexOf(':');
    if (end > 0 && end < tag.length - 1) tags.set(tag.slice(0, end), tag.slice(end + 1));
  }
  for (const [key, name] of [
    ['env', 'DD_ENV'],
    ['service', 'DD_SERVICE'],
    ['version', 'DD_VERSION'],
  ] as const) {
    if (env[name]) tags.set(key, env[name]);
  }
  return tags;
}

/** @throws TypeError when a tag has no value, or a key that Datadog does not take */
export function checkTags(tags: Readonly<Record<string, string>>): void {
  for (const [key, value] of Object.entries(tags)) {
    if (!/^\p{L}[\p{L}\p{N}_\-./]*$/u.test(key)) {
      throw new TypeError(`the key of a tag is a letter, then letters, digits or _ - . /, got ${JSON.stringify(key)}`);
    }
    if (key === 'pool' || key === 'reason') throw new TypeError(`tags must not have ${key}, which is ours`);
    if (typeof value !== 'string' || value.trim() === '') {
      throw new TypeError(`tag ${key} must be a text that is not empty, got ${JSON.stringify(value)}`);
    }
  }
}
