// pg's types that the rest of the package speaks of, so that no other folder imports pg.
import type pg from 'pg';

/** What pg's `Client` takes. */
export type ClientConfig = pg.ClientConfig;
/** Something that makes a client as pg's `Client` does. */
export type ClientConstructor = new (config: pg.ClientConfig) => pg.Client;
