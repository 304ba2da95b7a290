/** Tells whether nothing leaves the machine: a socket directory, localhost, 127.0.0.0/8 or ::1 (RFC 6761, 1122, 4291). */
export function isLocal(host: string): boolean {
  // With a dot at its end it is looked up by DNS like any other name: not taken for loopback.
  const name = host.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  if (name === '' || name.startsWith('/') || name === 'localhost') return true;
  const net = process.getBuiltinModule('node:net');
  const family = net.isIP(name);
  if (family === 0) return false;
  const loopback = new net.BlockList();
  loopback.addSubnet('127.0.0.0', 8);
  loopback.addAddress('::1', 'ipv6');
  return loopback.check(name, family === 6 ? 'ipv6' : 'ipv4');
}
