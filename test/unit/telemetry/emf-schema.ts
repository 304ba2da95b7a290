// What a line must be for CloudWatch to make metrics of it (Amazon CloudWatch User Guide, "Specification: Embedded
// metric format" and its JSON schema; API reference, MetricDatum and Dimension).

/** A line that has been read. */
export interface EmfDocument extends Readonly<Record<string, unknown>> {
  readonly _aws: {
    readonly Timestamp: number;
    readonly CloudWatchMetrics: readonly {
      readonly Namespace: string;
      readonly Dimensions: readonly (readonly string[])[];
      readonly Metrics: readonly { readonly Name: string; readonly Unit?: string }[];
    }[];
  };
}

const units = ['Seconds', 'Microseconds', 'Milliseconds', 'Bytes', 'Percent', 'Count', 'None'];

const isText = (value: unknown, longest: number): boolean =>
  typeof value === 'string' && value.length >= 1 && value.length <= longest;

const isNumber = (value: unknown): boolean => typeof value === 'number' && Number.isFinite(value);

/** Says all that CloudWatch would refuse in a line; nothing where it is fine. */
export function emfFaults(line: string): string[] {
  const faults: string[] = [];
  const must = (holds: boolean, what: string): void => void (holds || faults.push(what));
  must(line.endsWith('\n') && line.indexOf('\n') === line.length - 1, 'one line, with its end');
  must(Buffer.byteLength(line) <= 256 * 1024, 'at most 256 KB');
  const root = JSON.parse(line) as EmfDocument;
  const { Timestamp: at, CloudWatchMetrics: directives, ...others } = root._aws;
  must(Number.isInteger(at) && at > 0, 'Timestamp is an integer');
  must(Object.keys(others).length === 0, 'nothing else in _aws');
  must(Array.isArray(directives) && directives.length > 0, 'CloudWatchMetrics is an array');
  for (const { Namespace: namespace, Dimensions: sets, Metrics: definitions, ...unknown } of directives) {
    must(Object.keys(unknown).length === 0, 'nothing else in a directive');
    must(isText(namespace, 255), 'Namespace has 1 to 255 characters');
    must(sets.length >= 1, 'there is a dimension set');
    for (const set of sets) {
      must(set.length <= 30, 'at most 30 dimensions');
      for (const name of set) must(isText(name, 255) && isText(root[name], 1024), `${name} is a text on the root`);
    }
    must(definitions.length >= 1 && definitions.length <= 100, '1 to 100 metrics');
    must(new Set(definitions.map(({ Name: name }) => name)).size === definitions.length, 'each metric once');
    for (const { Name: name, Unit: unit, ...more } of definitions) {
      must(Object.keys(more).length === 0, 'nothing else in a metric');
      must(isText(name, 255), 'Name has 1 to 255 characters');
      must(unit === undefined || units.includes(unit), `${name} has a unit`);
      const value = root[name];
      const fine = Array.isArray(value)
        ? value.length <= 100 && value.length > 0 && value.every(isNumber)
        : isNumber(value);
      must(fine, `${name} is a number, or 1 to 100 of them`);
    }
  }
  return faults;
}

/** The metrics of a line, by name, as CloudWatch takes them out. */
export function metricsOf(line: string): Record<string, unknown> {
  const root = JSON.parse(line) as EmfDocument;
  const names = root._aws.CloudWatchMetrics.flatMap(({ Metrics: definitions }) =>
    definitions.map(({ Name: name }) => name),
  );
  return Object.fromEntries(names.map((name) => [name, root[name]]));
}
