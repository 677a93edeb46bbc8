/** How fast a config trains with several processes: a short run of them into a folder that is removed again. */
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { ConfigSource } from '../config/layers.ts';
import { median } from '../statistics.ts';
import { trainRun } from '../training/trainRun.ts';

interface ProcessesBenchmark {
  processes: number;
  /** Median of whole steps: data, forward, backward, exchange, clip, optimizer. */
  msPerStep: number;
  tokensPerSecond: number;
  /** From the plan's FLOPs per token. */
  gflops: number;
  mode: 'recorded';
  precision: 'float32' | 'bfloat16';
  device: string;
  waitingShare: number;
}

const warmUpSteps = 3;

/** @throws what `trainRun` throws */
export async function benchmarkProcesses(
  config: ConfigSource,
  { set, steps, processes }: { set: readonly string[]; steps: number; processes: number },
): Promise<ProcessesBenchmark> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'clm-bench-'));
  const length = [`training.steps=${warmUpSteps + steps}`, 'training.tokens=null', 'training.epochs=null'];
  const nothingElse = ['evaluation', 'checkpoints', 'samples'].map((section) => `${section}.everySteps=null`);
  const stepMs: number[] = [];
  let [lastMs, tokensPerStep, flopsPerToken] = [0, 0, 0];
  let precision: ProcessesBenchmark['precision'] = 'float32';
  try {
    const result = await trainRun(
      {
        config,
        runDirectory: path.join(folder, 'run'),
        set: [...set, ...length, ...nothingElse, 'reports.everySteps=1'],
        resume: false,
      },
      {
        mode: 'recorded',
        signal: new AbortController().signal,
        processes,
        onPrepared: ({ plan, config: { training } }) => {
          ({ tokensPerStep, flopsPerToken } = plan);
          precision = training.precision;
        },
        report: (fact) => {
          if (fact.kind !== 'step') return;
          if (fact.step > warmUpSteps) stepMs.push(performance.now() - lastMs);
          lastMs = performance.now();
        },
      },
    );
    const msPerStep = median(stepMs);
    const tokensPerSecond = (1000 * tokensPerStep) / msPerStep;
    return {
      ...{ processes, msPerStep, tokensPerSecond, gflops: (tokensPerSecond * flopsPerToken) / 1e9 },
      ...{ mode: 'recorded', precision, device: result.device ?? 'cpu', waitingShare: result.waitingShare },
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
