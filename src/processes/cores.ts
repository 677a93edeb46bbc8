/** Which cores a process uses, if several of a group run on one machine. */
import { allowedCores, useCores } from '../runtime/libc.ts';
import type { ProcessGroup } from './group.ts';

interface Place {
  machine: string;
  cores: readonly number[];
}

/**
 * The share of rank `rank` in the cores that it may use: processes of one machine that may use the same ones divide
 * them as evenly as possible. With more processes than cores, or with cores of its own already (as mpirun gives them),
 * it keeps those it has.
 */
export function shareOf(rank: number, places: readonly Place[]): readonly number[] {
  const { machine, cores } = places[rank]!;
  const same = places.flatMap((each, i) => (each.machine === machine && each.cores.join() === cores.join() ? [i] : []));
  if (same.length > cores.length) return cores;
  const border = (part: number): number => Math.floor((part * cores.length) / same.length);
  const own = same.indexOf(rank);
  return cores.slice(border(own), border(own + 1));
}

/** Keeps this process to its share. To be called before TensorFlow is loaded, which counts the cores then. */
export async function shareCoresOf(group: ProcessGroup): Promise<void> {
  const cores = allowedCores() ?? [];
  const all = await group.exchange('cores', cores);
  const share = shareOf(
    group.rank,
    all.map((each, rank) => ({ machine: group.identities[rank]!.machine, cores: each })),
  );
  if (share.length > 0) useCores(share);
}
