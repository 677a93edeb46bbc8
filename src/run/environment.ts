/** `environment.json`: the machine and versions a run was made with, so that its figures can be understood later. */
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readBounded } from '../storage/boundedFile.ts';
import { runPaths } from './runPaths.ts';

/** In environment.json, marks a directory as a clm run. */
export const program = 'clm';

/** Facts that only the runtime knows, filled in by the code that loads TensorFlow; null for an imported model. */
interface RuntimeFacts {
  /** The device used, why, and whose operations run in which mode. */
  device: { name: string; reason: string; mode: string; operations: string } | null;
  tensorflow: string | null;
  threads: number | null;
  /** How many processes trained together; absent in older runs and imported models. */
  processes?: number;
}

/** A part of a run in which every step has the same size. */
export interface TrainedStage {
  /** Updates before it. */
  fromStep: number;
  tokensPerStep: number;
  flopsPerToken: number;
}

/** Tokens, or FLOPs, of the first `step` updates. */
export function trainedAmount(
  { stages, ...whole }: NonNullable<Environment['plan']>,
  step: number,
  unit: 'tokens' | 'flops',
): number {
  const all = stages ?? [{ fromStep: 0, ...whole }];
  return all.reduce((sum, { fromStep, tokensPerStep, flopsPerToken }, i) => {
    const steps = Math.max(0, Math.min(step, all[i + 1]?.fromStep ?? Infinity) - fromStep);
    return sum + steps * tokensPerStep * (unit === 'tokens' ? 1 : flopsPerToken);
  }, 0);
}

/** The machine and versions of the last start of a run. */
export interface Environment extends RuntimeFacts {
  /** Key figures of the plan, so that the metrics can be read without the corpus. */
  plan: {
    steps: number;
    tokensPerStep: number;
    parameters: number;
    /** Those that are trained, e.g. of an adapter its own. Absent in older runs. */
    trainedParameters?: number;
    flopsPerToken: number;
    /** What differs by stages, if there are several; the two above are then means. */
    stages?: readonly TrainedStage[];
  } | null;
  program: typeof program;
  versions: { clm: string; node: string };
  /** Commit of clm itself if it runs from a git checkout. */
  commit: string | null;
  platform: { system: string; release: string; architecture: string };
  cpu: { model: string; cores: number; availableCores: number };
  memoryBytes: number;
  /** The config file, relative to the run directory; null for an imported model. Absent in older runs. */
  config?: string | null;
  /** The folder that the model was imported from; absent if it was not. */
  importedFrom?: string;
  /** The command line from `clm` or `node` on, with credentials replaced by `***`. */
  command: string[];
}

/** The folder that holds package.json: two above this file, in src as in dist. */
const packageFolder = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/**
 * Describes this process and machine. No host or user name, no environment variables.
 * @param facts from the runtime, the plan, and the config file
 * @param command the command line
 */
export function describeEnvironment(
  facts: RuntimeFacts & Partial<Pick<Environment, 'plan' | 'config' | 'importedFrom'>>,
  command: readonly string[] = ['clm', ...process.argv.slice(2)],
): Environment {
  const { version } = JSON.parse(readFileSync(join(packageFolder, 'package.json'), 'utf8')) as { version: string };
  const processors = cpus();
  return {
    program,
    versions: { clm: version, node: process.versions.node },
    tensorflow: facts.tensorflow,
    device: facts.device,
    threads: facts.threads,
    ...(facts.processes !== undefined && { processes: facts.processes }),
    plan: facts.plan ?? null,
    config: facts.config ?? null,
    ...(facts.importedFrom !== undefined && { importedFrom: facts.importedFrom }),
    commit: commitOf(packageFolder),
    platform: { system: process.platform, release: release(), architecture: process.arch },
    cpu: {
      model: processors[0]?.model.trim() ?? 'unknown',
      cores: processors.length,
      availableCores: availableParallelism(),
    },
    memoryBytes: totalmem(),
    command: withoutCredentials(command),
  };
}

/**
 * The commit of a git checkout, read from its files (running git is slower, and it may not be installed).
 * @returns null if the folder is not a checkout, or its state cannot be read
 */
export function commitOf(checkout: string): string | null {
  try {
    const dotGit = join(checkout, '.git');
    if (!existsSync(dotGit)) return null;
    const gitFolder = existsSync(join(dotGit, 'HEAD')) ? dotGit : linkedFolder(checkout, readFileSync(dotGit, 'utf8'));
    const head = readFileSync(join(gitFolder, 'HEAD'), 'utf8').trim();
    if (!head.startsWith('ref: ')) return asCommit(head);
    const reference = head.slice('ref: '.length);
    // A linked worktree keeps its branches in the repository that it was created from.
    const commonFile = join(gitFolder, 'commondir');
    const shared = existsSync(commonFile) ? resolve(gitFolder, readFileSync(commonFile, 'utf8').trim()) : gitFolder;
    const loose = join(shared, reference);
    if (existsSync(loose)) return asCommit(readFileSync(loose, 'utf8').trim());
    const packed = readFileSync(join(shared, 'packed-refs'), 'utf8').split('\n');
    return asCommit(packed.find((line) => line.endsWith(` ${reference}`))?.split(' ')[0]);
  } catch {
    return null; // nice to have, but never a reason to fail
  }
}

/**
 * The `environment.json` of a run, or undefined if it is missing or not JSON. An older clm may lack some of the fields.
 */
export function readEnvironment(runDirectory: string): Partial<Environment> | undefined {
  try {
    const environment: unknown = JSON.parse(readBounded(runPaths(runDirectory).environment).toString('utf8'));
    return typeof environment === 'object' && environment !== null ? environment : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Differences of machine and versions from the run's environment.json; each may change the last bits of a sum.
 * @returns none if the run has none that can be read, such as an imported or copied checkpoint
 */
export function environmentDifferences(runDirectory: string, now: Environment): string[] {
  const before = readEnvironment(runDirectory);
  if (before === undefined) return [];
  // clm's kernels compute the same with any number of threads.
  const threadsMatter = [before, now].some(({ device }) => device?.operations?.startsWith("clm's") !== true);
  const facts = ({ versions, commit, tensorflow, device, cpu, threads }: Partial<Environment>) => ({
    'version of clm': versions?.clm,
    'commit of clm': commit,
    'version of TensorFlow': tensorflow,
    device: device?.name,
    mode: device?.mode,
    operations: device?.operations,
    processor: cpu?.model,
    'number of threads': threadsMatter ? threads : undefined,
  });
  const [old, present]: [Record<string, unknown>, Record<string, unknown>] = [facts(before), facts(now)];
  return Object.keys(present)
    .filter((name) => old[name] !== present[name])
    .map((name) => `${name} (${String(old[name])}, now ${String(present[name])})`);
}

const linkedFolder = (checkout: string, dotGitText: string): string =>
  resolve(checkout, dotGitText.replace(/^gitdir: /, '').trim());

const asCommit = (text: string | undefined): string | null =>
  text !== undefined && /^[0-9a-f]{40,64}$/.test(text) ? text : null;

const credentialName =
  /(password|passwd|secret|credential|api[-_]?key|(access|auth|api|bearer)[-_]?token|signature|[?&]token)/i;

/** Replaces values of options and keys that sound like credentials, and credentials in URLs, by `***`. */
export function withoutCredentials(args: readonly string[]): string[] {
  return args.map((arg, index) => {
    const before = args[index - 1];
    if (before?.startsWith('--') && !before.includes('=') && credentialName.test(before)) return '***';
    const equals = arg.indexOf('=');
    if (equals > 0 && credentialName.test(arg.slice(0, equals))) return `${arg.slice(0, equals)}=***`;
    return arg
      .replace(/(:\/\/)[^/@\s]+@/g, '$1***@')
      .replace(/([?&][^=&\s]*)=([^&\s]*)/g, (whole, name: string) =>
        credentialName.test(name) ? `${name}=***` : whole,
      );
  });
}
