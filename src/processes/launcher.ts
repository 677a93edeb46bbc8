/** Which of several processes this one is, if it was not started by clm: from options or a launcher's environment. */
import { wrongInput } from '../errors.ts';

/** What the user has said on the command line. */
export interface AskedProcesses {
  processes: number | undefined;
  rank: number | undefined;
  /** HOST:PORT */
  rendezvous: string | undefined;
}

export interface LaunchedRank {
  rank: number;
  size: number;
  /** Where rank 0 listens. */
  host: string;
  port: number;
  /** Who said so: a launcher or `--rank`. */
  by: string;
}

type Variables = Readonly<Record<string, string | undefined>>;

/**
 * @returns undefined for a process that trains alone, or starts the others itself
 * @throws wrongInput if options and environment contradict each other, or do not say where to meet
 */
export function launchedRank(asked: AskedProcesses, variables: Variables): LaunchedRank | undefined {
  const told = launchers.map((launcher) => launcher(variables)).find((each) => each !== undefined);
  const { processes, rank } = asked;
  if (rank !== undefined && processes === undefined)
    throw wrongInput('--rank needs --processes, the number of all processes.');
  if (told !== undefined) {
    for (const [option, given, here] of [
      ['--processes', processes, told.size],
      ['--rank', rank, told.rank],
    ] as const)
      if (given !== undefined && given !== here)
        throw wrongInput(
          `${option} is ${given}, but ${told.by} started this process as rank ${told.rank} of ${told.size}.`,
        );
  }
  const size = told?.size ?? processes ?? 1;
  const own = told?.rank ?? rank;
  if (own === undefined) {
    if (asked.rendezvous === undefined) return undefined;
    throw wrongInput('--rendezvous is for processes that are started one by one: give --rank too, or leave it out.');
  }
  if (own >= size) throw wrongInput(`--rank must be from 0 to ${size - 1} with --processes ${size}, not ${own}.`);
  if (size === 1) return undefined;
  const by = told?.by ?? '--rank';
  if (asked.rendezvous !== undefined) return { rank: own, size, by, ...parsePlace(asked.rendezvous) };
  if (told?.host !== undefined) return { rank: own, size, by, host: told.host, port: told.port! };
  throw wrongInput(
    `${by} does not say where the processes meet: give all of them the same --rendezvous HOST:PORT, an address of ` +
      'the machine of rank 0, e.g. 127.0.0.1:29400 if all are on this machine.',
  );
}

type Told = { rank: number; size: number; by: string; host?: string; port?: number };

/** Each reads the environment that one kind of launcher makes. */
const launchers: readonly ((variables: Variables) => Told | undefined)[] = [
  // torchrun keeps a store of its own at MASTER_PORT, so the next port is taken. With all ranks on one machine the name
  // of that machine is of no use: they meet on its loopback.
  ({ RANK, WORLD_SIZE, LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT }) => {
    if (MASTER_ADDR === undefined || MASTER_PORT === undefined) return undefined;
    const [rank, size, port] = [whole(RANK), whole(WORLD_SIZE), whole(MASTER_PORT)];
    if (rank === undefined || size === undefined || port === undefined) return undefined;
    const host = whole(LOCAL_WORLD_SIZE) === size ? '127.0.0.1' : MASTER_ADDR;
    return { rank, size, by: 'torchrun', host, port: port < 65_535 ? port + 1 : port - 1 };
  },
  // Open MPI's mpirun
  ({ OMPI_COMM_WORLD_RANK, OMPI_COMM_WORLD_SIZE }) => {
    const [rank, size] = [whole(OMPI_COMM_WORLD_RANK), whole(OMPI_COMM_WORLD_SIZE)];
    return rank === undefined || size === undefined ? undefined : { rank, size, by: 'mpirun' };
  },
];

const whole = (text: string | undefined): number | undefined =>
  text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;

/** HOST:PORT, an IPv6 address in brackets. */
function parsePlace(text: string): { host: string; port: number } {
  const [, six, name, port] = /^(?:\[([^\]]+)\]|([^:\s]+)):(\d+)$/.exec(text) ?? [];
  const host = six ?? name;
  if (host !== undefined && Number(port) >= 1 && Number(port) <= 65_535) return { host, port: Number(port) };
  throw wrongInput(`--rendezvous must be HOST:PORT, e.g. 10.0.0.5:29400 or [fd00::5]:29400, not "${text}".`);
}
