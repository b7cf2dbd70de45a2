/**
 * Counters of several processes as if they were one's.
 * @module
 */
type Value = number | { readonly [label: string]: number } | readonly (Value | null)[];
type Values = Readonly<Record<string, Value>>;

/** Numbers are added, label by label and place by place. */
export function sumCounters(all: readonly Values[]): Record<string, Value> {
  const sum: Record<string, Value> = {};
  for (const values of all) {
    for (const [name, value] of Object.entries(values)) sum[name] = plus(sum[name], value);
  }
  return sum;
}

function plus(one: Value | null | undefined, other: Value | null | undefined): Value {
  if (one === undefined || one === null) return other ?? 0;
  if (other === undefined || other === null) return one;
  if (typeof one === "number" || typeof other === "number") return Number(one) + Number(other);
  if (Array.isArray(one) && Array.isArray(other)) {
    const length = Math.max(one.length, other.length);
    return Array.from(
      { length },
      (_, i) => one[i] === undefined && other[i] === undefined ? null : plus(one[i], other[i]),
    );
  }
  return sumCounters([one as Values, other as Values]) as Record<string, number>;
}

/** What is of living connections only: nothing of it is left once a process has ended. */
const GAUGES: ReadonlySet<string> = new Set(["live", "pending"]);

export function withoutGauges(values: Values): Values {
  return Object.fromEntries(Object.entries(values).filter(([name]) => !GAUGES.has(name)));
}
