/**
 * A streaming standby of a test's server, without pg_basebackup, which the npm packages do not bring: the data folder is
 * copied while the server is stopped.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { freePort } from '../../support/free-port.ts';
import type { TestPostgres } from '../../support/postgres.ts';
import { Cluster, serverAccount } from '../../support/postgres-cluster.ts';

/** What a server must be started with to have a standby. */
export const streaming: Readonly<Record<string, string>> = { wal_level: 'replica', max_wal_senders: '4' };

/** A running standby; `await using` stops and removes it. */
export interface Standby extends AsyncDisposable {
  readonly port: number;
  /** Drops its sessions without a goodbye. */
  stop(): Promise<void>;
  start(): Promise<void>;
  /** Resolves when it has all that the primary had when it was asked. */
  caughtUp(): Promise<void>;
}

const POLL_MILLIS = 10;

async function one(postgres: TestPostgres, sql: string): Promise<string> {
  const { rows } = await postgres.admin(sql);
  return String(Object.values(rows[0] as Record<string, unknown>)[0]);
}

/** What the primary was started with, in the same units. */
async function settingsOf(postgres: TestPostgres): Promise<Record<string, string>> {
  const sql = `select name, setting from pg_settings where source = 'command line' and name not in ('port', 'data_directory')`;
  const { rows } = await postgres.admin(sql);
  return Object.fromEntries((rows as { name: string; setting: string }[]).map(({ name, setting }) => [name, setting]));
}

/** Makes a standby of a server that was started with {@link streaming}, which is restarted for it. */
export async function startStandby(primary: TestPostgres): Promise<Standby> {
  const folder = await one(primary, 'show data_directory');
  const binary = `${await one(primary, `select setting from pg_config where name = 'BINDIR'`)}/postgres`;
  const settings = await settingsOf(primary);
  await primary.admin(`create role streamer login replication password 'streams'`);
  const dir = mkdtempSync(join(tmpdir(), 'thawpool-standby-'));
  const cluster = new Cluster(dir, binary, serverAccount(), settings);
  await primary.stop('fast');
  // With its owner and its mode.
  execFileSync('cp', ['-a', `${folder}/.`, dir]);
  await primary.start();
  await rm(join(dir, 'postmaster.pid'), { force: true });
  await writeFile(join(dir, 'standby.signal'), '');
  const conninfo = `host=${primary.host} port=${primary.port} user=streamer password=streams`;
  await writeFile(join(dir, 'postgresql.auto.conf'), `primary_conninfo = '${conninfo}'\n`);
  const port = await freePort();
  await cluster.start(port);
  const caughtUp = async (): Promise<void> => {
    const all = await one(primary, 'select pg_current_wal_insert_lsn()');
    const sql = `select coalesce(bool_or(replay_lsn >= '${all}'), false) from pg_stat_replication`;
    while ((await one(primary, sql)) !== 'true') await wait(POLL_MILLIS);
  };
  return {
    port,
    stop: () => cluster.stop('immediate'),
    start: () => cluster.start(port),
    caughtUp,
    async [Symbol.asyncDispose]() {
      await cluster.stop('immediate');
      await cluster.remove();
    },
  };
}
