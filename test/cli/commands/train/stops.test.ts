import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, mkdtemp, open, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseResolvedConfig } from '../../../../src/config/load.ts';
import { clmAtTerminal, ctrlC } from '../../atTerminal.ts';
import { clm, root } from '../../clm.ts';

const program = path.join(root, 'dist/cli/main.js');
let folder: string;
let config: string;
const at = (name: string) => path.join(folder, name);
const endless = ['--set', 'training.steps=1000000'];

beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'clm-stops-'));
  config = at('tiny.yaml');
  await writeFile(at('text.txt'), 'The cat sat on the mat. '.repeat(60));
  await writeFile(
    config,
    `corpus: { sources: [{ path: text.txt }] }
model: { layers: 1, heads: 2, width: 16, contextLength: 8 }
training: { microBatchSize: 3, steps: 40 }
schedule: { warmupSteps: 1 }
evaluation: { everySteps: null }
samples: { everySteps: null, prompt: The }
checkpoints: { everySteps: null }
`,
  );
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const statusOf = async (run: string) => JSON.parse(await readFile(at(`${run}/status.json`), 'utf8'));
const savedSteps = async (run: string) =>
  (await readdir(path.join(at(run), 'checkpoints'))).map((name) => Number(name.slice(5)));

describe('a training process', () => {
  it('stops immediately and leaves nothing if stopped while reading the corpus', async () => {
    const file = await open(at('huge.txt'), 'w');
    await file.truncate(8e9); // holes: no disk, but half a minute of reading
    await file.close();
    const set = [`corpus.sources=[{path: ${at('huge.txt')}}]`, 'model.contextLength=1000'].flatMap((each) => [
      '--set',
      each,
    ]);
    const reading = (run: string, ...args: string[]) => ['train', config, '--run', at(run), ...args, ...set];
    let signalledMs = 0;
    const waiting = setInterval(() => {
      if (signalledMs > 0 || !existsSync(at('reading/run.lock'))) return;
      setTimeout(() => {
        signalledMs = performance.now();
        child!.kill('SIGINT');
      }, 1000);
      clearInterval(waiting);
    }, 20);
    let child: ReturnType<typeof spawn> | undefined;
    const bySignal = await clm(reading('reading'), undefined, (started) => (child = started));
    clearInterval(waiting);
    expect(signalledMs).toBeGreaterThan(0);
    expect(performance.now() - signalledMs).toBeLessThan(3000);
    expect(bySignal).toEqual({
      ...{ code: 130, stderr: 'SIGINT: stopped before the first step\n' },
      stdout: expect.stringMatching(/^result: state=stopped run=\S+reading\n$/),
    });
    expect(existsSync(at('reading'))).toBe(false);

    const beganMs = performance.now();
    const byTimeLimit = await clm(reading('timely', '--max-time', '2s', '--json'));
    expect(performance.now() - beganMs).toBeLessThan(4000);
    expect(byTimeLimit).toMatchObject({ code: 0, stderr: '--max-time 2s: stopped before the first step\n' });
    expect(JSON.parse(byTimeLimit.stdout)).toEqual({ run: at('timely'), state: 'stopped', reason: '--max-time 2s' });
    expect(existsSync(at('timely'))).toBe(false);
    await rm(at('huge.txt'));
  });

  it('saves when its terminal goes away', async () => {
    const { code } = await clmAtTerminal(
      ['train', config, '--run', at('hangup'), ...endless],
      [['[1-9][0-9]* tokens/s|step [1-9]', null]],
    );
    expect(code).toBe(129);
    const status = JSON.parse(await readFile(at('hangup/status.json'), 'utf8'));
    expect(status).toMatchObject({ state: 'stopped', reason: 'SIGHUP', step: expect.any(Number) });
    expect(status.step).toBeGreaterThan(0);
    expect(await savedSteps('hangup')).toEqual([status.step]);
  });

  // Signals that arrive at the same time may be delivered in any order: the first one delivered names the stop.
  it.each([
    ['a closed terminal', ['SIGHUP', 'SIGHUP', 'SIGTERM']],
    ['a batch system', ['SIGUSR2', 'SIGTERM', 'SIGXCPU']],
  ] as const)('saves when %s sends several signals at once', async (_, signals) => {
    let isSent = false;
    const run = `several-${signals[0]}`;
    const { code, stderr } = await clm(['train', config, '--run', at(run), ...endless], (text, child) => {
      if (isSent || !/step [1-9]\d*\/1000000/.test(text)) return;
      isSent = signals.map((name) => child.kill(name)).every(Boolean);
      setTimeout(() => child.kill('SIGHUP'), 3); // maybe during the save
    });
    expect(isSent).toBe(true);
    const status = await statusOf(run);
    expect(status.state).toBe('stopped');
    expect(signals).toContain(status.reason);
    expect(stderr).toContain(`${status.reason}: finishing this step and saving\n`);
    expect(code).toBe(128 + os.constants.signals[status.reason as NodeJS.Signals]);
    expect(await savedSteps(run)).toEqual([status.step]);
  });

  it('saves at two quick Ctrl-C, and leaves the terminal as it was', async () => {
    const { code, output } = await clmAtTerminal(
      ['train', config, '--run', at('quick'), ...endless],
      [['step [1-9]', ctrlC + ctrlC]],
    );
    expect(code).toBe(130);
    expect(output).toContain('SIGINT: finishing this step and saving; another Ctrl-C stops at once, without saving');
    expect(output).not.toMatch(/\x1b\[\?/); // neither cursor nor wrapping nor the screen was changed
    expect(await savedSteps('quick')).toEqual([(await statusOf('quick')).step]);
  });

  it('goes on without its terminal if told to ignore SIGHUP', async () => {
    const steps = ['--set', 'training.steps=800'];
    const { code } = await clmAtTerminal(
      ['train', config, '--run', at('lasting'), '--ignore-hangup', ...steps],
      [['step [1-9]', null]],
    );
    expect(code).toBe(0);
    expect(await statusOf('lasting')).toMatchObject({ state: 'done', step: 800 });
  });

  it('stops verify-resume and sweep once, and keeps what their runs did', async () => {
    const scratch = at('scratch');
    await mkdir(scratch);
    await writeFile(at('sweep.yaml'), `config: tiny.yaml\nset: { training.steps: 1000000 }\nseeds: [1, 2]\n`);
    const stopped = (args: string[], isDue: () => boolean): Promise<number | null> => {
      const env = { ...process.env, TMPDIR: scratch };
      const child = spawn(process.execPath, [program, ...args], { stdio: 'ignore', env });
      const waiting = setInterval(() => {
        if (!isDue()) return;
        clearInterval(waiting);
        for (const name of ['SIGHUP', 'SIGHUP', 'SIGTERM'] as const) child.kill(name);
      }, 50);
      return new Promise((resolve) => child.on('close', resolve));
    };
    const hasLog = (folder: string): boolean =>
      existsSync(folder) &&
      readdirSync(folder, { recursive: true }).some((file) => /metrics\.jsonl$/.test(String(file)));
    const verifying = stopped(['verify-resume', config, '--steps', '100000'], () => hasLog(scratch));
    const sweeping = stopped(['sweep', at('sweep.yaml'), '--output', at('swept'), '--quiet'], () =>
      hasLog(at('swept')),
    );
    // The kernel may deliver either of two signals first that come together: 128 + SIGHUP or SIGTERM.
    for (const code of await Promise.all([verifying, sweeping])) expect([129, 143]).toContain(code);
    expect(await readdir(scratch)).toEqual([]);
    const [run, ...others] = (await readdir(at('swept'))).filter((name) => name !== 'sweep.jsonl');
    expect(others).toEqual([]);
    expect(await statusOf(`swept/${run}`)).toMatchObject({ state: 'stopped' });
  });

  it('trains to the end after the readers of stdout and stderr have gone', async () => {
    const child = spawn(process.execPath, [program, 'train', config, '--run', at('unread'), '--json'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.once('data', () => {
      child.stdout.destroy();
      child.stderr.destroy();
    });
    const code = await new Promise((resolve) => child.on('close', resolve));
    expect(code).toBe(0);
    expect(await savedSteps('unread')).toEqual([40]);
    expect(await readFile(at('unread/metrics.jsonl'), 'utf8')).toMatch(/"kind":"step","step":40,/);
  });

  it('saves and stops before --max-time, with exit code 0', async () => {
    const beganMs = performance.now();
    const { code, stdout, stderr } = await clm([
      'train',
      config,
      '--run',
      at('limited'),
      '--max-time',
      '5s',
      ...endless,
    ]);
    expect(code).toBe(0);
    const [, loss] = /^result: state=stopped step=\d+ validationLoss=(\d\.\d+) run=/.exec(stdout)!; // of step 0
    expect(performance.now() - beganMs).toBeLessThan(6000); // a second for the process to end
    const step = Number(/stopped after step (\d+) \(--max-time 5s\)\. To continue: /.exec(stderr)?.[1]);
    expect(await savedSteps('limited')).toEqual([step]);
    const resumed = await clm(['train', '--run', at('limited'), '--resume', '--max-time', '4s']);
    expect(resumed.stdout).toMatch(new RegExp(`^result: state=stopped step=\\d+ validationLoss=${loss} run=`));
  });

  it('saves and continues at SIGUSR1, the way that sampling names while there is no checkpoint', async () => {
    let named: Promise<string> | undefined;
    let stopped = false;
    const args = ['train', config, '--run', at('asked'), ...endless, '--set', 'checkpoints.everySteps=900000'];
    const { code, stderr } = await clm(args, (text, child) => {
      if (named === undefined && /step \d+\/1000000/.test(text)) {
        named = clm(['sample', at('asked')]).then(({ stderr: message }) => {
          const [, command, pid] = /To have it saved now: (kill -USR1 (\d+))$/m.exec(message) ?? [];
          expect(Number(pid)).toBe(child.pid);
          execFileSync('sh', ['-c', command!]);
          return message;
        });
        named.catch(() => child.kill('SIGTERM'));
      }
      if (!stopped && text.includes(': checkpoint ')) stopped = child.kill('SIGTERM');
    });
    expect(await named).toMatch(
      /has no checkpoint yet: it is at step \d+ of 1000000, the first comes at step 900000, in about \d/,
    );
    expect(code).toBe(143);
    expect(stderr).toContain('SIGUSR1: saving after this step');
    const asSaved = Number(/step (\d+): checkpoint /.exec(stderr)![1]);
    const atEnd = Number(/stopped after step (\d+)/.exec(stderr)![1]);
    expect(atEnd).toBeGreaterThan(asSaved);
    expect((await savedSteps('asked')).sort((a, b) => a - b)).toEqual([asSaved, atEnd]);
  });

  it('answers a change that no resume allows with a command that trains on from the weights', async () => {
    await clm(['train', config, '--run', at('former'), '--quiet', '--set', 'training.steps=2']);
    const resume = ['train', config, '--run', at('former'), '--resume', '--set', 'training.steps=3'];
    const { code, stderr } = await clm([...resume, '--set', 'optimizer.learningRate=2e-3']);
    expect(code).toBe(2);
    expect(stderr).toContain(`or with this line in ${config}, without --set start.from:\n  start: { from: "former" }`);
    const command = /^ {2}clm (train .*)$/m.exec(stderr)![1]!;
    execFileSync('sh', ['-c', `'${process.execPath}' '${program}' ${command} --quiet`], { cwd: root });
    expect(await savedSteps('former-2')).toEqual([3]);
    const { start } = parseResolvedConfig(
      await readFile(at('former-2/config.yaml'), 'utf8'),
      at('former-2/config.yaml'),
    );
    expect(start.from).toBe(at('former'));
    const otherModel = await clm([...resume, '--set', 'model.layers=2']);
    expect(otherModel.stderr).toMatch(/train a new run, from the start:\n {2}clm train .*--run .*former-3$/m);
    expect(otherModel.stderr).not.toContain('start.from');
  });

  it('warns if resumed with another machine, version or number of threads', async () => {
    await clm(['train', config, '--run', at('moved'), '--quiet', '--set', 'training.steps=2']);
    const file = at('moved/environment.json');
    const environment = JSON.parse(await readFile(file, 'utf8'));
    const other = {
      ...environment,
      versions: { ...environment.versions, clm: '0.0.1' },
      cpu: { ...environment.cpu, model: 'Another CPU' },
      threads: 97,
    };
    await writeFile(
      file,
      JSON.stringify({
        ...other,
        tensorflow: '2.0.0',
        device: { ...environment.device, name: 'cuda', operations: 'of sand' },
      }),
    );
    const { code, stderr } = await clm([
      'train',
      config,
      '--run',
      at('moved'),
      '--resume',
      '--set',
      'training.steps=3',
    ]);
    expect(code).toBe(0);
    const warning = /^warning: step 2: resuming with another (.*): losses may no longer be bitwise the same$/m.exec(
      stderr,
    )?.[1];
    expect(warning).toContain(`version of clm (0.0.1, now ${environment.versions.clm})`);
    expect(warning).toContain(`processor (Another CPU, now ${environment.cpu.model})`);
    expect(warning).toContain(`number of threads (97, now ${environment.threads})`);
    expect(warning).toContain(`version of TensorFlow (2.0.0, now ${environment.tensorflow})`);
    expect(warning).toContain('device (cuda, now cpu)');
    expect(warning).toContain(`operations (of sand, now ${environment.device.operations})`);
    const { cpu, threads } = JSON.parse(await readFile(file, 'utf8'));
    // the file is right again
    expect({ cpu, threads }).toEqual({ cpu: environment.cpu, threads: environment.threads });
  });
});

describe('at a terminal', () => {
  it('is not controlled by corpus text, completions or messages', async () => {
    const attack = '\x1b]0;owned\x07\x9b2J\u202eevil';
    await writeFile(at('attack.txt'), `The cat ${attack} sat. `.repeat(70));
    const set = ['--set', `corpus.sources=[{path: ${at('attack.txt')}}]`];
    await clm(['train', config, '--run', at('attacked'), '--quiet', ...set, '--set', 'samples.prompt=The cat \x1b']);
    const commands = [
      ['data', 'check', config, '--examples', '40', ...set],
      ['sample', at('attacked'), '--prompt', attack, '--max-tokens', '3'],
      ['sample', at('attacked'), '--prompt', attack, '--max-tokens', '3', '--json'],
      ['inspect', at('attacked'), '--text', attack.slice(0, 7)],
      ['sample', at(`no such run ${attack}`)],
    ];
    for (const args of commands) {
      const { output } = await clmAtTerminal(args);
      // Only what the progress bar and the colours need.
      const foreign = output.replaceAll(
        /\x1b\[(\?25[hl]|\?7[hl]|3[1369]m|[02]?K|1?G|\d+[ABCDGK]|s|u)|\x1b[78]|\r/g,
        '',
      );
      expect(foreign, args.join(' ')).not.toMatch(/[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/);
      expect(output, args.join(' ')).toMatch(/\\u\{?0*1b/); // it was there, and was shown
    }
  });
});
