import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { migrate } from '../../infra/orders/schema.ts';
import { main, readArguments, type SmokeOptions, smoke, tableOf } from '../../infra/smoke.ts';
import { LOOPBACK, listenAnywhere } from '../support/free-port.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { type OrderService, startOrderService } from './order-service.ts';

const at = (url: string, more: Partial<SmokeOptions> = {}): SmokeOptions => ({
  url,
  parallel: 3,
  freezeSeconds: 0,
  wakeSeconds: 0,
  ...more,
});
const problemsOf = async (options: SmokeOptions) => (await smoke(options)).flatMap(({ problems }) => problems);

describe('against the handlers themselves', () => {
  let postgres: TestPostgres;
  let service: OrderService;

  beforeAll(async () => {
    postgres = await startPostgres();
    const client = new pg.Client({ connectionString: postgres.connectionString });
    await client.connect();
    await client.query('begin');
    await migrate(client);
    await client.query('commit');
    await client.end();
    service = await startOrderService(postgres);
  });
  afterAll(async () => {
    await service?.[Symbol.asyncDispose]();
    await postgres?.close();
  });

  it('finds a service that works, and reads again after a rest in which every connection was killed', async () => {
    const waited: number[] = [];
    const wait = async (millis: number) => {
      waited.push(millis);
      await postgres.admin(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'lab-sandbox'",
      );
    };
    const steps = await smoke(at(service.url, { parallel: 5, freezeSeconds: 60, wait }));
    expect(steps.map(({ name, requests, problems }) => [name, requests, problems])).toEqual([
      ['an unknown id', 1, []],
      ['bad requests', 3, []],
      ['create an order', 1, []],
      ['read it back', 1, []],
      ['create many at once', 5, []],
      ['read them at once', 5, []],
      ['read after 60 s of rest', 5, []],
    ]);
    expect(waited).toEqual([60_000]);
    expect(steps.map(({ millis }) => millis.length)).toEqual([1, 3, 1, 1, 5, 5, 5]);
  });

  it('works as a command, and leaves with 0', async () => {
    const child = spawn(process.execPath, [
      join(import.meta.dirname, '../../infra/smoke.ts'),
      ...['--url', `${service.url}/`, '--parallel', '2'],
    ]);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)));
    const [code] = (await once(child, 'close')) as [number];
    expect([code, output]).toEqual([0, expect.stringContaining('The service works.') as unknown]);
    expect(output).toMatch(/read them at once +2 +ok +\d+ +\d+\n/);
  });

  it('names the step that fails when the tables are gone, and what was answered', async () => {
    await postgres.admin('alter table order_items rename to mislaid');
    try {
      const printed: string[] = [];
      expect(await main(['--url', service.url, '--wake', '0'], (text) => printed.push(text))).toBe(1);
      expect(printed.join('\n')).toContain('500 {"message":"Internal Server Error"}');
    } finally {
      await postgres.admin('alter table mislaid rename to order_items');
    }
  });
});

/** A service that answers what it is told, request by request; the rest as the order service would. */
async function fake(respond: (method: string, path: string, response: ServerResponse) => boolean) {
  const orders = new Map<string, string>();
  const server = createServer((request, response) => {
    const { method = '', url = '' } = request;
    let text = '';
    request.on('data', (chunk) => (text += String(chunk)));
    request.on('end', () => {
      const send = (status: number, body: unknown) => response.writeHead(status).end(JSON.stringify(body));
      if (respond(method, url, response)) return;
      if (method === 'GET') {
        const known = orders.get(url.slice('/orders/'.length));
        if (known !== undefined) return void send(200, JSON.parse(known));
        return void send(url.length === '/orders/'.length + 36 ? 404 : 400, { message: 'no' });
      }
      if (text === '{' || !text.includes('smoke-tea')) return void send(400, { message: 'no' });
      const order = { ...(JSON.parse(text) as object), id: randomUUID(), total: 4980, createdAt: 'now' };
      orders.set(order.id, JSON.stringify(order));
      send(201, order);
    });
  });
  const port = await listenAnywhere(server);
  return {
    url: `http://${LOOPBACK}:${port}`,
    [Symbol.dispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
}
const say = (response: ServerResponse, status: number, body: unknown) => {
  response.writeHead(status).end(JSON.stringify(body));
  return true;
};

describe('against a service that is not right', () => {
  it('has no objection to the one that the other tests spoil', async () => {
    using service = await fake(() => false);
    expect(await problemsOf(at(service.url))).toEqual([]);
  });

  it('says that nobody is there', async () => {
    const service = await fake(() => false);
    service[Symbol.dispose]();
    const [problem, ...others] = await problemsOf(at(service.url));
    expect(others).toEqual([]);
    expect(problem).toMatch(/^the service did not answer within 0 s; the last attempt: ECONNREFUSED /);
  });

  it('waits for a database that is waking up', async () => {
    let asleep = 3;
    using service = await fake((_method, _path, response) => asleep-- > 0 && say(response, 503, { message: 'wait' }));
    const waits: number[] = [];
    const wait = async (millis: number) => void waits.push(millis);
    const steps = await smoke(at(service.url, { wakeSeconds: 60, wait }));
    expect([steps[0]?.requests, waits.length, steps.flatMap(({ problems }) => problems)]).toEqual([4, 3, []]);
  });

  it('gives up on a database that does not wake up', async () => {
    using service = await fake((_method, _path, response) => say(response, 503, { message: 'Service Unavailable' }));
    expect(await problemsOf(at(service.url))).toEqual([
      'the service did not answer within 0 s; the last attempt: 503 {"message":"Service Unavailable"}',
    ]);
  });

  it.each([
    ['an unknown id that is found', 'GET', /-/, 200, 'an unknown id was answered 200 {} instead of 404'],
    ['a bad id that is taken', 'GET', /^\/orders\/1$/, 404, '1 of 3: a bad request was answered 404 {} instead of 400'],
    ['a refusal without a word', 'GET', /^\/orders\/1$/, 400, '1 of 3: a bad request was refused without a message'],
    ['an order that is refused', 'POST', /./, 403, '2 of 3: a bad request was answered 403 {} instead of 400'],
  ])('objects to %s', async (_what, method, path, status, problem) => {
    using service = await fake((itsMethod, itsPath, response) => {
      return itsMethod === method && path.test(itsPath) && say(response, status, {});
    });
    expect(await problemsOf(at(service.url))).toContain(problem);
  });

  it('counts what is answered differently among many, and goes on', async () => {
    let posts = 0;
    using service = await fake((method, _path, response) => {
      // Two bad requests and one order come before the three at once.
      return method === 'POST' && ++posts === 5 && say(response, 503, { message: 'Service Unavailable' });
    });
    expect(await problemsOf(at(service.url))).toEqual([
      '1 of 3: an order was answered 503 {"message":"Service Unavailable"} instead of 201',
    ]);
  });

  it('objects to a total that is wrong, and to an order that comes back as another', async () => {
    const wrong = { id: 'a', customer: 'smoke 0', items: [], total: 1, createdAt: '' };
    let posts = 0;
    using service = await fake(
      (method, _path, response) => method === 'POST' && ++posts > 2 && say(response, 201, wrong),
    );
    expect(await problemsOf(at(service.url))).toContain('1 of 1: an order of 4980 cents has a total of 1');
    let gets = 0;
    using other = await fake((method, _path, response) => method === 'GET' && ++gets > 2 && say(response, 200, wrong));
    expect(await problemsOf(at(other.url))).toEqual([
      '1 of 1: a stored order came back as another one',
      '3 of 3: a stored order came back as another one',
    ]);
  });
});

describe('the command', () => {
  it('explains itself', async () => {
    const printed: string[] = [];
    expect(await main(['--help'], (text) => printed.push(text))).toBe(0);
    expect(printed[0]).toContain('--freeze');
  });

  it.each([
    [[], '--url must be an http or https URL, got "".'],
    [['--url', 'example.com'], '--url must be an http or https URL, got "example.com".'],
    [['--url', 'ftp://example.com'], '--url must be an http or https URL'],
    [['--url', 'https://example.com', '--parallel', '0'], '--parallel must be a whole number from 1, got "0".'],
    [['--url', 'https://example.com', '--freeze', 'x'], '--freeze must be a whole number from 0, got "x".'],
    [['--nope'], "Unknown option '--nope'"],
  ])('leaves with 2 for %j', async (args, sentence) => {
    const printed: string[] = [];
    expect(await main(args, (text) => printed.push(text))).toBe(2);
    expect(printed[0]).toContain(sentence);
  });

  it('takes what it is given', () => {
    expect(readArguments(['--url', 'https://a.example', '--freeze', '60'])).toEqual({
      url: 'https://a.example',
      parallel: 8,
      freezeSeconds: 60,
      wakeSeconds: 90,
    });
  });

  it('prints a table that names what failed', () => {
    const table = tableOf([
      { name: 'good', requests: 3, millis: [30, 10, 20], problems: [] },
      { name: 'not good', requests: 1, millis: [], problems: ['1 of 1: it rained'] },
    ]);
    expect(table.split('\n')).toEqual([
      'step      requests          p50 ms  max ms',
      'good             3  ok          20      30',
      'not good         1  FAILED       0       0',
      '',
      'not good: 1 of 1: it rained.',
    ]);
  });
});
