/** Reads host names of Amazon's databases: whether a name is one, and which region it is in. Pure. */

/** A region's own name: `eu-west-1`, `us-gov-west-1`, `eusc-de-east-1`. Not `global`, as in the name of a global writer. */
const region = '[a-z]{2,}(?:-[a-z]+)+-\\d+';

/** Ends of the names in all of Amazon's partitions (partitions.json in @aws-sdk/core 3.978). */
const suffix =
  '(?:amazonaws\\.com(?:\\.cn)?|amazonaws\\.eu|c2s\\.ic\\.gov|sc2s\\.sgov\\.gov|cloud\\.adc-e\\.uk|csp\\.hci\\.ic\\.gov)';

/** China has two forms: the older one has the region before `rds`, as everywhere, the newer one behind it. */
const rdsName = new RegExp(`^.+\\.(?:rds\\.(${region})|(${region}|global)\\.rds)\\.${suffix}$`);

/** With a suffix behind `dsql`, the name goes through a VPC endpoint (Aurora DSQL user guide, AWS PrivateLink). */
const dsqlName = new RegExp(`^.+\\.dsql(?:-[a-z0-9]+)*\\.(${region})\\.on\\.aws$`);

/** What a host name says about the service behind it. */
export interface AwsHost {
  /** Whether it is a name that the service itself gave out. */
  readonly known: boolean;
  /** Nothing where the name does not say: an address, a name of one's own, the writer of a global database. */
  readonly region: string | undefined;
}

/** Writes a host name as tokens are signed for it: DNS cares neither about case nor about a dot at the end, signatures do. */
export const plainHost = (host: string): string => host.toLowerCase().replace(/\.$/, '');

/** Reads the name of an instance, a cluster (writer, reader, custom), a shard group or an RDS Proxy. */
export function rdsHost(host: string): AwsHost {
  const match = rdsName.exec(plainHost(host));
  const found = match?.[1] ?? match?.[2];
  return { known: match !== null, region: found === 'global' ? undefined : found };
}

/** Reads the name of an Aurora DSQL cluster: `<id>.dsql.<region>.on.aws`. */
export function dsqlHost(host: string): AwsHost {
  const match = dsqlName.exec(plainHost(host));
  return { known: match !== null, region: match?.[1] };
}
