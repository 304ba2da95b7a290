/** Keeps secrets, their versions and stages, and rotates them in the four steps of a rotation function. */
import { randomUUID } from 'node:crypto';

export type Stage = 'AWSCURRENT' | 'AWSPENDING' | 'AWSPREVIOUS';

/** What a version holds: text, or bytes in base64. */
export type Content = { readonly SecretString: string } | { readonly SecretBinary: string };

interface Version {
  readonly id: string;
  readonly content: Content;
  readonly createdAt: number;
}

/** A secret, with what a test and a rotation function do to it. */
export class StoredSecret {
  readonly arn: string;
  readonly name: string;
  readonly #versions = new Map<string, Version>();
  readonly #stages = new Map<Stage, string>();

  constructor(arn: string, name: string) {
    this.arn = arn;
    this.name = name;
  }

  /** What is at a stage. */
  at(stage: Stage): Version | undefined {
    const id = this.#stages.get(stage);
    return id === undefined ? undefined : this.#versions.get(id);
  }

  /** The stages of a version. */
  stagesOf(id: string): Stage[] {
    return [...this.#stages].filter(([, at]) => at === id).map(([stage]) => stage);
  }

  /** PutSecretValue without stages: the new version is AWSCURRENT at once. @returns its id */
  put(content: Content | Readonly<Record<string, unknown>>): string {
    const id = this.#add(content);
    this.#promote(id);
    return id;
  }

  /** Step 1: a new version at AWSPENDING. @returns its id */
  createSecret(content: Content | Readonly<Record<string, unknown>>): string {
    const id = this.#add(content);
    this.#stages.set('AWSPENDING', id);
    return id;
  }

  /** Step 2: makes the database take what is pending. */
  async setSecret(change: (fields: Readonly<Record<string, string>>) => Promise<void>): Promise<void> {
    await change(this.#pendingFields());
  }

  /** Step 3: tries what is pending. */
  async testSecret(attempt: (fields: Readonly<Record<string, string>>) => Promise<void>): Promise<void> {
    await attempt(this.#pendingFields());
  }

  /** Step 4: AWSCURRENT moves to what is pending, AWSPREVIOUS to what was current. */
  finishSecret(): void {
    const id = this.#stages.get('AWSPENDING');
    if (id === undefined) throw new Error('No version is pending.');
    this.#promote(id);
    this.#stages.delete('AWSPENDING');
  }

  /** CancelRotateSecret, and the stage removed, as its documentation tells one to. */
  cancel(): void {
    this.#stages.delete('AWSPENDING');
  }

  #pendingFields(): Record<string, string> {
    const content = this.at('AWSPENDING')?.content;
    if (!content || !('SecretString' in content)) throw new Error('No text is pending.');
    return JSON.parse(content.SecretString) as Record<string, string>;
  }

  #add(content: Content | Readonly<Record<string, unknown>>): string {
    const id = randomUUID();
    const isContent = 'SecretString' in content || 'SecretBinary' in content;
    const stored = isContent ? (content as Content) : { SecretString: JSON.stringify(content) };
    this.#versions.set(id, { id, content: stored, createdAt: Date.now() / 1000 });
    return id;
  }

  #promote(id: string): void {
    const before = this.#stages.get('AWSCURRENT');
    if (before !== undefined && before !== id) this.#stages.set('AWSPREVIOUS', before);
    this.#stages.set('AWSCURRENT', id);
  }
}

/** Keeps the secrets of one account in one region. */
export class SecretStore {
  readonly region: string;
  readonly #secrets = new Map<string, StoredSecret>();

  constructor(region: string) {
    this.region = region;
  }

  /** Makes a secret, with a first version where there is content. */
  create(name: string, content?: Content | Readonly<Record<string, unknown>>): StoredSecret {
    const suffix = randomUUID().replaceAll('-', '').slice(0, 6);
    const arn = `arn:aws:secretsmanager:${this.region}:111122223333:secret:${name}-${suffix}`;
    const secret = new StoredSecret(arn, name);
    if (content) secret.put(content);
    this.#secrets.set(name, secret);
    return secret;
  }

  /** Finds a secret by ARN or name. */
  find(id: string): StoredSecret | undefined {
    return this.#secrets.get(id) ?? [...this.#secrets.values()].find((secret) => secret.arn === id);
  }
}
