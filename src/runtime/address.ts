/** An IPv4 address that a dual-stack socket shows as `::ffff:a.b.c.d`, as IPv4; anything else as it is. */
export function plainAddress(address: string): string {
  return address.startsWith("::ffff:") && address.includes(".") ? address.slice(7) : address;
}
