/** Amounts in units that a person reads: 1.1 TB, 238 TFLOP, 24 days. */

const prefixes = ['', 'k', 'M', 'G', 'T', 'P', 'E', 'Z', 'Y'];

/** Three digits or so with the prefix of a power of 1000, e.g. 543 MB, 25.3 GB, 1.1 TB for the unit B. */
function scaled(value: number, unit: string): string {
  let [amount, power] = [value, 0];
  while (amount >= 999.5 && power < prefixes.length - 1) {
    amount /= 1000;
    power++;
  }
  const digits = power > 0 && amount < 99.95 ? 1 : 0;
  return `${amount.toFixed(digits)} ${prefixes[power]}${unit}`;
}

export const bytesText = (bytes: number): string => scaled(bytes, 'B');

/** An amount of floating-point operations, not a speed. */
export const flopText = (flops: number): string => scaled(flops, 'FLOP');

export const flopsPerSecondText = (flops: number): string => scaled(flops, 'FLOP/s');

const [minuteS, hourS, dayS, yearS] = [60, 3600, 86_400, 365 * 86_400];

/** 0.4 s, 12 s, 3 min 20 s, 1 h 02 min, 2 days 5 h, 24 days, 3.2 years. */
export function timeText(ms: number): string {
  const seconds = Math.round(ms / 1000);
  const two = (count: number): string => String(count).padStart(2, '0');
  if (ms < 950) return `${(ms / 1000).toFixed(1)} s`;
  if (seconds < minuteS) return `${seconds} s`;
  if (seconds < hourS) return `${Math.floor(seconds / minuteS)} min ${two(seconds % minuteS)} s`;
  const minutes = Math.round(seconds / minuteS);
  if (seconds < 2 * dayS) return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
  const hours = Math.round(seconds / hourS);
  if (seconds < 10 * dayS) return `${Math.floor(hours / 24)} days ${hours % 24} h`;
  if (seconds < 2 * yearS) return `${Math.round(seconds / dayS)} days`;
  return `${Math.round(seconds / yearS).toLocaleString('en-US')} years`;
}

/** e.g. "12 to 31 min", "40 s to 2 min": both ends rounded to what such a range can mean. */
export function timeRangeText(lowMs: number, highMs: number): string {
  const [low, high] = [roundTime(lowMs), roundTime(highMs)];
  if (low === high) return low;
  const [, lowUnit] = low.split(' ');
  return high.endsWith(` ${lowUnit}`) ? `${low.split(' ')[0]} to ${high}` : `${low} to ${high}`;
}

/** Two digits of the largest unit that fits: 0.4 s, 12 s, 3 min, 5 h, 24 days, 3 years. */
function roundTime(ms: number): string {
  const seconds = ms / 1000;
  const [size, unit] =
    seconds < 100
      ? [1, 's']
      : seconds < 100 * minuteS
        ? [minuteS, 'min']
        : seconds < 2 * dayS
          ? [hourS, 'h']
          : seconds < 2 * yearS
            ? [dayS, 'days']
            : [yearS, 'years'];
  const amount = seconds / size;
  return `${amount < 10 ? Number(amount.toFixed(1)) : Math.round(amount).toLocaleString('en-US')} ${unit}`;
}
