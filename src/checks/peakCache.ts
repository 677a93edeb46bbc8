/** The matmul peaks of machines, remembered for a day: `matmul-peaks.json` in the cache folder. */
import { mkdirSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { z } from 'zod';
import type { Config } from '../config/schema.ts';
import { readBounded } from '../storage/boundedFile.ts';
import { cacheFolder } from '../storage/cacheFolder.ts';
import { writeFileDurably } from '../storage/durable.ts';

const peak = z.strictObject({ gflops: z.number().gt(0), device: z.string(), measuredAt: z.iso.datetime() });
const file = z.record(z.string(), peak);

export type Peak = z.output<typeof peak>;

/** The speed of a machine drifts, and a peak may have been measured while other programs ran. */
const validMs = 24 * 3_600_000;

const pathOfPeaks = (): string => path.join(cacheFolder(), 'matmul-peaks.json');

/** Everything that the speed of a product depends on. */
const keyOf = ({ training, device }: Pick<Config, 'training' | 'device'>): string => {
  const switches = Object.entries(process.env).filter(([name]) => /^(CLM_|CUDA_VISIBLE)/.test(name));
  const machine = [os.hostname(), os.cpus()[0]?.model ?? '', os.availableParallelism(), process.arch];
  return JSON.stringify([...machine, device, training.precision, ...switches.sort()]);
};

/** The peak of this machine, if it has been measured within a day. */
export function rememberedPeak(config: Pick<Config, 'training' | 'device'>, nowMs = Date.now()): Peak | undefined {
  const known = readPeaks()[keyOf(config)];
  return known !== undefined && Math.abs(nowMs - Date.parse(known.measuredAt)) < validMs ? known : undefined;
}

/** A cache that cannot be written costs a second at the next plan, no more. */
export async function rememberPeak(config: Pick<Config, 'training' | 'device'>, measured: Peak): Promise<void> {
  try {
    mkdirSync(cacheFolder(), { recursive: true });
    const peaks = { ...readPeaks(), [keyOf(config)]: measured };
    await writeFileDurably(pathOfPeaks(), `${JSON.stringify(peaks, null, 1)}\n`);
  } catch {
    return;
  }
}

function readPeaks(): Record<string, Peak> {
  try {
    return file.parse(JSON.parse(readBounded(pathOfPeaks()).toString('utf8')));
  } catch {
    return {}; // there is none yet, or it is damaged
  }
}
