/** `--log`: further logs in the run directory, and modules of the user's that are handed every fact. */
import { wrongInput } from '../errors.ts';
import type { Fact } from '../training/sinks/facts.ts';
import { openModuleSink, type ModuleSink } from '../training/sinks/moduleSink.ts';
import { note, printWarning } from './terminal/output.ts';

const kinds = ['tensorboard', 'csv'];

interface LogTargets {
  /** What becomes `reports.log`; undefined leaves that of the config. */
  kinds: string[] | undefined;
  /** Paths of modules. */
  modules: string[];
}

/** @throws wrongInput for a value that is neither a kind of log nor a path */
export function logTargets(values: readonly string[] = []): LogTargets {
  const isModule = (value: string): boolean => /[/\\]|\.[cm]?[jt]s$/.test(value);
  const wrong = values.find((value) => !kinds.includes(value) && !isModule(value));
  if (wrong !== undefined)
    throw wrongInput(`--log is "${wrong}"; it must be tensorboard, csv, or the path of a module such as ./my-sink.mjs`);
  const asked = values.filter((value) => kinds.includes(value));
  return { kinds: asked.length > 0 ? asked : undefined, modules: values.filter(isModule) };
}

/** All modules as one. @throws as `openModuleSink`; the modules before are then closed */
export async function openModules(files: readonly string[]): Promise<ModuleSink> {
  const sinks: ModuleSink[] = [];
  const close = async (): Promise<void> => void (await Promise.all(sinks.map((sink) => sink.close())));
  try {
    for (const file of files) sinks.push(await openModuleSink(file, { warn: printWarning, print: note }));
  } catch (error) {
    await close();
    throw error;
  }
  return {
    report: (fact: Fact) => {
      for (const sink of sinks) sink.report(fact);
    },
    close,
  };
}
