import { describe, expect, it } from 'vitest';
import { dsqlHost, plainHost, rdsHost } from '../../../src/auth/iam-hosts.ts';

describe('rdsHost', () => {
  it.each([
    ['orders.c9akciq32rgq.eu-west-1.rds.amazonaws.com', 'eu-west-1'],
    ['orders.cluster-c9akciq32rgq.us-east-2.rds.amazonaws.com', 'us-east-2'],
    ['orders.cluster-ro-c9akciq32rgq.ap-southeast-5.rds.amazonaws.com', 'ap-southeast-5'],
    ['reports.cluster-custom-c9akciq32rgq.ca-central-1.rds.amazonaws.com', 'ca-central-1'],
    ['orders.shardgrp-c9akciq32rgq.us-west-2.rds.amazonaws.com', 'us-west-2'],
    ['orders.proxy-c9akciq32rgq.eu-central-1.rds.amazonaws.com', 'eu-central-1'],
    ['reader.endpoint.proxy-c9akciq32rgq.eu-central-1.rds.amazonaws.com', 'eu-central-1'],
    ['orders.c9akciq32rgq.us-gov-west-1.rds.amazonaws.com', 'us-gov-west-1'],
    ['orders.c9akciq32rgq.rds.cn-north-1.amazonaws.com.cn', 'cn-north-1'],
    ['orders.cluster-ro-c9akciq32rgq.rds.cn-northwest-1.amazonaws.com.cn', 'cn-northwest-1'],
    ['orders.c9akciq32rgq.cn-north-1.rds.amazonaws.com.cn', 'cn-north-1'],
    ['orders.c9akciq32rgq.eusc-de-east-1.rds.amazonaws.eu', 'eusc-de-east-1'],
    ['orders.c9akciq32rgq.us-iso-east-1.rds.c2s.ic.gov', 'us-iso-east-1'],
    ['orders.c9akciq32rgq.us-isob-east-1.rds.sc2s.sgov.gov', 'us-isob-east-1'],
    ['Orders.C9AKCIQ32RGQ.EU-West-1.RDS.amazonaws.com.', 'eu-west-1'],
  ])('reads the region of %s', (host, region) => {
    expect(rdsHost(host)).toEqual({ known: true, region });
  });

  it('knows the writer of a global database, whose name says no region', () => {
    expect(rdsHost('orders.global-c9akciq32rgq.global.rds.amazonaws.com')).toEqual({ known: true, region: undefined });
  });

  it.each([
    'localhost',
    '127.0.0.1',
    '10.0.3.7',
    '::1',
    'db.example.com',
    'eu-west-1.rds.amazonaws.com',
    'db.eu-west-1.rds.amazonaws.com.example.com',
    'db.eu-west-1.rds.example.com',
    'db.eu-west-1.rdsXamazonaws.com',
    'id.dsql.eu-west-1.on.aws',
    '',
  ])('takes %j for no name of Amazon RDS', (host) => {
    expect(rdsHost(host)).toEqual({ known: false, region: undefined });
  });
});

describe('dsqlHost', () => {
  it.each([
    ['weaqdqqm.dsql.us-east-1.on.aws', 'us-east-1'],
    ['weaqdqqm.dsql-fnh4.eu-west-2.on.aws', 'eu-west-2'],
    ['WEAQDQQM.dsql.US-EAST-1.on.aws.', 'us-east-1'],
  ])('reads the region of %s', (host, region) => {
    expect(dsqlHost(host)).toEqual({ known: true, region });
  });

  it.each([
    'dsql.us-east-1.on.aws',
    'weaqdqqm.dsql.us-east-1.on.aws.example.com',
    'weaqdqqm.dsql.on.aws',
    'orders.c9akciq32rgq.eu-west-1.rds.amazonaws.com',
    'localhost',
  ])('takes %j for no name of Aurora DSQL', (host) => {
    expect(dsqlHost(host)).toEqual({ known: false, region: undefined });
  });
});

it('writes hosts in lower case and without the dot at the end', () => {
  expect(plainHost('Orders.Example.COM.')).toBe('orders.example.com');
});
