// Which source the credentials of a pool come from. What speaks to AWS is loaded when it is first asked.

import type { CredentialSource } from './auth/credentials.ts';
import type { Settings } from './settings.ts';

/** What a source may need to know besides its settings. */
export interface SourceContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly onWarning: (message: string) => void;
}

/**
 * Tells where the credentials come from.
 *
 * @returns nothing for a password that is simply given, or for none at all
 */
export function credentialsOf(settings: Settings, context: SourceContext): CredentialSource | undefined {
  const { password, secretArn, auth = secretArn === undefined ? 'password' : 'secret' } = settings;
  if (auth !== 'password' && password !== undefined && typeof password !== 'string') {
    context.onWarning(
      `auth is "${auth}" (option auth, environment THAWPOOL_AUTH), so that the password that was given in code is not asked for. Leave one of them out.`,
    );
  }
  if (auth === 'iam') {
    return onFirstUse({ name: 'IAM', requiresTls: true }, async () => {
      const { iamCredentials } = await import('./auth/iam.ts');
      return iamCredentials(context);
    });
  }
  if (auth === 'secret') {
    return onFirstUse({ name: `the secret ${secretArn}`, locates: true }, async () => {
      const { secretCredentials } = await import('./auth/secret.ts');
      return secretCredentials({ ...context, secretArn: secretArn ?? '' });
    });
  }
  if (typeof password === 'function') return ofFunction(password);
  return typeof password === 'object' ? password : undefined;
}

/** pg's form of a password that is asked for: again after it was refused, and then it counts only if it is another. */
function ofFunction(password: (target?: unknown) => string | Promise<string>): CredentialSource {
  return {
    name: 'the password function',
    credentials: async ({ target }) => ({ password: await password(target) }),
  };
}

/** A source that is made when it is first asked. */
function onFirstUse(
  facts: Omit<CredentialSource, 'credentials'>,
  make: () => Promise<CredentialSource>,
): CredentialSource {
  let made: Promise<CredentialSource> | undefined;
  return {
    ...facts,
    async credentials(request) {
      made ??= make();
      return (await made).credentials(request);
    },
  };
}
