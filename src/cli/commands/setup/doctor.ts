/** `clm doctor`: what is installed, which device is used and why, what is missing and how to fix it. */
import os from 'node:os';
import { ExpectedError } from '../../../errors.ts';
import { findNvidiaDriver } from '../../../runtime/installation/nvidiaDriver.ts';
import { readInstallation } from '../../../runtime/installation/readInstallation.ts';
import { printJson, printResult } from '../../terminal/output.ts';
import { renderFacts } from '../../terminal/table.ts';
import type { ArgumentsOf } from '../../usage.ts';
import { cacheFacts, cacheLines } from './cachedCopies.ts';
import type { doctorUsage } from './usage.ts';

interface Finding {
  what: string;
  found: string;
  ok: boolean;
}

export async function doctor(args: ArgumentsOf<typeof doctorUsage>): Promise<void> {
  const found = await tensorFlow(args.device ?? 'auto');
  const findings = [...machine(), ...found];
  const ok = findings.every((finding) => finding.ok);
  const works = found.every((finding) => finding.ok);
  const cache = cacheFacts(works ? readInstallation().libraryDirectory : undefined, args.clearCache);
  if (args.json) printJson({ ok, findings, cache });
  else {
    const facts = findings.map(({ what, found, ok: fine }) => [`${fine ? 'ok ' : '!! '} ${what}`, found] as const);
    const cached = cacheLines(cache).map((line, i) => [i === 0 ? 'ok  cache' : '', line] as const);
    for (const line of renderFacts([...facts, ...cached])) printResult(line);
  }
  if (!ok) process.exitCode = 3;
}

function machine(): Finding[] {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const nodeIsSupported = major > 20 || (major === 20 && minor >= 19);
  const gigabytes = (os.totalmem() / 2 ** 30).toFixed(1);
  const driver = findNvidiaDriver();
  return [
    {
      what: 'Node.js',
      found: `${process.versions.node}${nodeIsSupported ? '' : '; clm needs 20.19 or newer'}`,
      ok: nodeIsSupported,
    },
    {
      what: 'system',
      found: `${process.platform} ${process.arch}, ${os.availableParallelism()} cores, ${gigabytes} GiB`,
      ok: true,
    },
    { what: 'processor', found: os.cpus()[0]?.model.trim() ?? 'unknown', ok: true },
    { what: 'NVIDIA driver', found: driver ?? 'none; the CPU is used', ok: true },
  ];
}

async function tensorFlow(device: 'auto' | 'cpu' | 'cuda'): Promise<Finding[]> {
  try {
    const { loadTensorFlow, operationsOf } = await import('../../../runtime/tensorflow.ts');
    const { openSession } = await import('../../../runtime/openSession.ts');
    const loaded = loadTensorFlow(device);
    const session = openSession({ mode: 'recorded', precision: 'float32', device });
    await session.addVariables([{ name: 'six', shape: [1], values: Float32Array.of(6) }]);
    const program = session.program('check', {}, (_, variables) => ({ value: variables.read('six') }));
    const value = (await program.run({})).value[0];
    session.close();
    return [
      { what: 'libtensorflow', found: loaded.version, ok: true },
      { what: 'device', found: `${loaded.device} (${loaded.deviceReason})`, ok: true },
      { what: 'operations', found: operationsOf(loaded), ok: true },
      {
        what: 'recorded step',
        found: value === 6 ? 'a recorded program runs' : `returned ${value} instead of 6`,
        ok: value === 6,
      },
    ];
  } catch (error) {
    if (!(error instanceof ExpectedError)) throw error;
    return [{ what: 'libtensorflow', found: error.message, ok: false }];
  }
}
