/**
 * Medians of rounds, and how far to trust them.
 * @module
 */

export interface Estimate {
  readonly median: number;
  /** The median of what was sampled lies between these with 95 % confidence, or more. */
  readonly low: number;
  readonly high: number;
  readonly rounds: number;
}

/**
 * The median with the interval that binomial order statistics give: nothing is assumed of how the values scatter, so one
 * round in which the machine was busy moves nothing. Fewer than 6 values cannot give 95 %: then it is their range.
 *
 * @throws {RangeError} no values, or one that is not finite
 */
export function estimate(values: readonly number[]): Estimate {
  if (values.length === 0 || !values.every(Number.isFinite)) {
    throw new RangeError(`Cannot estimate from [${values.join(", ")}]`);
  }
  const sorted = values.toSorted((a, b) => a - b);
  const rank = lowerRank(sorted.length);
  return {
    median: medianOf(sorted),
    low: sorted[rank]!,
    high: sorted[sorted.length - 1 - rank]!,
    rounds: sorted.length,
  };
}

/**
 * The estimate of a ratio from pairs of the same round, so that what drifts between rounds cancels out.
 * @throws {RangeError} they differ in number
 */
export function estimateRatio(values: readonly number[], references: readonly number[]): Estimate {
  if (values.length !== references.length) {
    throw new RangeError(`Cannot pair ${values.length} values with ${references.length}`);
  }
  return estimate(values.map((value, i) => value / references[i]!));
}

/** What was counted or happens once: no interval. `of`: how many values it stands for. */
export function exactly(value: number, of = 1): Estimate {
  return { median: value, low: value, high: value, rounds: of };
}

/** In an order that nobody chose: no subject always runs behind the same other one. */
export function shuffled<T>(items: readonly T[], random: () => number = Math.random): T[] {
  const result = [...items];
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [result[i], result[j]] = [result[j]!, result[i]!];
  }
  return result;
}

function medianOf(sorted: readonly number[]): number {
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The largest r with P(fewer than r + 1 of n values lie under the median) ≤ 2.5 %. */
function lowerRank(n: number): number {
  if (n > 1000) return Math.floor(n / 2 - 0.98 * Math.sqrt(n)); // 0.5 ** n would be 0
  let probability = 0.5 ** n;
  let below = probability;
  let rank = 0;
  for (let k = 1; k <= n / 2; k++) {
    probability *= (n - k + 1) / k;
    below += probability;
    if (below > 0.025) break;
    rank = k;
  }
  return rank;
}
