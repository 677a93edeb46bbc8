/**
 * Micro-batches that are only scored, shared out among the processes of a session in turn. Their figures are then
 * exchanged as they are, so that every process sums them up in the same order as one process alone.
 */
import { sumsOverProcesses } from '../../ops/exchange.ts';
import type { Session } from '../../runtime/session.ts';

export interface EvaluationShare {
  processes: number;
  rank: number;
  /** Whether this process computes micro-batch `index` (from 0). */
  isOwn(index: number): boolean;
  /** Whether any process has broken the work off: then all do. */
  isBrokenOff(own: boolean): Promise<boolean>;
  /** Fills in the figures of the micro-batches that other processes have computed, which are undefined here. */
  exchange(figures: (Float32Array | undefined)[], size: number): Promise<Float32Array[]>;
}

/** Numbers in one exchange. */
const exchanged = 4096;

/** Records what is needed. @param name of the program */
export function evaluationShare(session: Session, name: string): EvaluationShare {
  const { place } = session.settings;
  if (place === undefined)
    return {
      ...{ processes: 1, rank: 0 },
      isOwn: () => true,
      isBrokenOff: (own) => Promise.resolve(own),
      exchange: (figures) => Promise.resolve(figures as Float32Array[]),
    };
  const processes = place.addresses.length;
  const spec = { shape: [exchanged], dtype: 'float32' } as const;
  const program = session.program(name, { own: spec }, ({ own }) => ({
    all: sumsOverProcesses(place, [own])[0]!,
  }));
  return {
    ...{ processes, rank: place.rank },
    isOwn: (index) => index % processes === place.rank,
    isBrokenOff: async (own) => {
      const { all } = await program.run({ own: new Float32Array(exchanged).fill(own ? 1 : 0) });
      return all[0]! > 0;
    },
    exchange: async (figures, size) => {
      // A number that only one process has is not changed by adding the zeros of the others.
      const own = new Float32Array(figures.length * size);
      figures.forEach((values, i) => values && own.set(values, i * size));
      const all = new Float32Array(own.length);
      for (let begin = 0; begin < own.length; begin += exchanged) {
        const part = new Float32Array(exchanged);
        part.set(own.subarray(begin, begin + exchanged));
        const result = await program.run({ own: part });
        all.set(result.all.subarray(0, own.length - begin), begin);
      }
      return figures.map((_, i) => all.subarray(i * size, (i + 1) * size));
    },
  };
}
