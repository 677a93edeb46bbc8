/** How many processes `clm train` is one of, by its options and a launcher's environment. */
import { parseSeconds } from '../../../duration.ts';
import { wrongInput } from '../../../errors.ts';
import type { GroupOptions } from '../../../processes/group.ts';
import { launchedRank } from '../../../processes/launcher.ts';
import { meetingAddress, readSecret } from '../../../processes/openNetwork.ts';
import { defaultWatchdogMs, shortestWatchdogMs } from '../../../processes/watch.ts';
import { meetingMs } from '../../../training/processes/startRanks.ts';
import { assertWhole } from '../../options.ts';
import type { ArgumentsOf } from '../../usage.ts';
import type { trainUsage } from './usage.ts';

interface Processes {
  /** To be started by this one, and itself. */
  processes: number;
  /** If it is one of several that were started otherwise. */
  join?: GroupOptions;
  watchdogMs: number;
  /** For the user: which rank this is, and who said so. */
  text?: string;
}

/** @throws wrongInput if the options do not fit together */
export async function processesOf(args: ArgumentsOf<typeof trainUsage>): Promise<Processes> {
  const { processes, rank, rendezvous, secretFile, openNetwork } = args;
  if (processes !== undefined) assertWhole('processes', processes, 1);
  if (rank !== undefined) assertWhole('rank', rank, 0);
  const watchdogMs = args.watchdog === undefined ? defaultWatchdogMs : parseSeconds(args.watchdog, '--watchdog');
  if (watchdogMs < shortestWatchdogMs)
    throw wrongInput(
      `--watchdog must be at least ${shortestWatchdogMs / 1000}s, or healthy processes could seem dead.`,
    );
  const launched = launchedRank({ processes, rank, rendezvous }, process.env);
  if (args.eager && (launched !== undefined || (processes ?? 1) > 1))
    throw wrongInput('--eager and --processes exclude each other: processes exchange gradients in recorded programs.');
  if (launched === undefined) {
    const extra = Object.entries({ '--secret-file': secretFile, '--open-network': openNetwork || undefined });
    const given = extra.find(([, value]) => value !== undefined)?.[0];
    if (given !== undefined)
      throw wrongInput(`${given} is for processes that are started one by one (--rank, torchrun, mpirun).`);
    return { processes: processes ?? 1, watchdogMs };
  }
  const secret = secretFile === undefined ? '' : readSecret(secretFile);
  const { rank: own, size, port, by } = launched;
  const host = await meetingAddress(launched.host, { rank: own, isOpen: openNetwork, hasSecret: secret !== '' });
  const join = { rank: own, size, host, port, secret, watchdogMs, waitMs: meetingMs(watchdogMs) };
  const text = `rank ${own} of ${size} processes (${by}), meeting at ${launched.host}:${port}`;
  return { processes: 1, join, watchdogMs, text };
}
