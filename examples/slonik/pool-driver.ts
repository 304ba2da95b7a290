import pg, { type Pool, type PoolClient } from 'pg';
import {
  BackendTerminatedError,
  type ClientConfigurationInput,
  createDriverFactory,
  type DriverCommand,
  type DriverTypeParser,
  ForeignKeyIntegrityConstraintViolationError,
  NotNullIntegrityConstraintViolationError,
  UniqueIntegrityConstraintViolationError,
} from 'slonik';

/** What Slonik sends as it puts a connection back into its own pool: that is when ours gets it back. */
const giveBack = '-- give back';

/** Errors that Slonik has names for; add those that you look for. */
const namedErrors = new Map<unknown, new (error: Error) => Error>([
  ['23502', NotNullIntegrityConstraintViolationError],
  ['23503', ForeignKeyIntegrityConstraintViolationError],
  ['23505', UniqueIntegrityConstraintViolationError],
  ['57P01', BackendTerminatedError],
]);

/**
 * The configuration of a Slonik pool that keeps nothing open: its connections are empty shells, and take a client of
 * `pool` with their first statement and give it back with their release.
 */
export function slonikOn(pool: Pool): ClientConfigurationInput {
  const driverFactory = createDriverFactory(async ({ driverConfiguration: { typeParsers } }) => {
    const types = { getTypeParser: parserFrom(typeParsers) };
    return {
      async createPoolClient({ clientEventEmitter }) {
        let client: PoolClient | undefined;
        const onError = (error: Error): void => void clientEventEmitter.emit('error', named(error));
        const take = async (): Promise<PoolClient> => {
          const taken = await pool.connect();
          return taken.on('error', onError);
        };
        const release = (): void => {
          client?.off('error', onError).release();
          client = undefined;
        };
        return {
          connect: async () => {},
          end: async () => release(),
          async query(text, values, options) {
            if (text === giveBack) {
              release();
              return { command: 'SELECT', fields: [], rowCount: 0, rows: [] };
            }
            client ??= await take();
            const { command, fields, rowCount, rows } = await client
              .query<Record<string, unknown>>({ ...options, text, values: values ?? [], types })
              .catch((error: Error) => {
                throw named(error);
              });
            return {
              command: command as DriverCommand,
              fields: fields.map(({ dataTypeID, name }) => ({ dataTypeId: dataTypeID, name })),
              rowCount,
              rows,
            };
          },
          stream() {
            throw new Error('This driver does not stream: read large results by a cursor, on a client of the pool.');
          },
        };
      },
    };
  });
  return { driverFactory, resetConnection: ({ query }) => query(giveBack), idleTimeout: 'DISABLE_TIMEOUT' };
}

function named(error: Error): Error {
  const Named = namedErrors.get((error as { code?: unknown }).code);
  return Named ? new Named(error) : error;
}

/** Slonik's parsers by type name, as one function by number: no query is needed for the types that PostgreSQL has itself. */
function parserFrom(parsers: readonly DriverTypeParser[]): typeof pg.types.getTypeParser {
  const numbers = pg.types.builtins as Readonly<Record<string, number>>;
  const own = new Map(parsers.map(({ name, parse }) => [numbers[name.toUpperCase()], parse]));
  return ((oid: number, format: 'text') =>
    own.get(oid) ?? pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser;
}
