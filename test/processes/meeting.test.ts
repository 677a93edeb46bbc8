/** The meeting of processes, over real connections: who is let in, and what the others are told. */
import { createConnection, createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { awaitRanks, joinRanks, type MeetingPlace, type Peer } from '../../src/processes/meeting.ts';

const place = { size: 3, host: '127.0.0.1', secret: 'a secret of all of them', waitMs: 5000, goneMs: 5000 };
const identityOf = (rank: number) => ({ host: `host-${rank}`, pid: 100 + rank, machine: 'here' });

/** Rank 0 of a meeting, and how others come to it. */
async function meeting(options: Partial<MeetingPlace> = {}) {
  let listening = (_port: number): void => {};
  const port = new Promise<number>((resolve) => (listening = resolve));
  const told: unknown[] = [];
  const peers: Peer[] = [];
  const all = awaitRanks(
    { ...place, ...options, rank: 0, port: 0 },
    identityOf(0),
    listening,
    (peer) => peers.push(peer),
    () => {},
  );
  all.catch(() => {});
  const joining = { ...place, ...options, port: await port };
  return {
    all,
    peers,
    told,
    port: joining.port,
    join: async (rank: number, own: Partial<MeetingPlace> = {}) =>
      joinRanks({ ...joining, ...own, rank }, identityOf(rank), (message) => told.push(message)),
  };
}

describe('meeting', () => {
  it('lets in who knows the secret', async () => {
    const { all, peers, join } = await meeting();
    const joined = [await join(2)];
    expect(peers.map(({ rank }) => rank)).toEqual([2]); // from now on it is watched
    joined.push(await join(1));
    const address = await all;
    expect(peers.map(({ rank, identity }) => [rank, identity.host])).toEqual([
      [2, 'host-2'],
      [1, 'host-1'],
    ]);
    expect(joined.map(({ identity }) => identity)).toEqual([identityOf(0), identityOf(0)]);
    expect([address, joined[0]!.address]).toEqual(['127.0.0.1', '127.0.0.1']);
    for (const { connection } of [...peers, ...joined]) connection.socket.destroy();
  });

  it('refuses another secret, on either side, and says at the end that somebody had one', async () => {
    const { all, join } = await meeting({ waitMs: 300 });
    await expect(join(1, { secret: 'guessed' })).rejects.toThrow('the secret is another one');
    await expect(all).rejects.toThrow(/ranks 1, 2 of 3 processes have not come.*another secret.*127\.0\.0\.1/);
  });

  it('never lets the secret or an answer that can be used again be seen', async () => {
    const { port, all } = await meeting({ waitMs: 300 });
    const seen = await new Promise<string>((resolve) => {
      createConnection(port, '127.0.0.1').once('data', (data) => resolve(data.toString()));
    });
    expect(Object.keys(JSON.parse(seen) as object)).toEqual(['challenge']);
    await expect(all).rejects.toThrow();
  });

  it('names a rank that is there twice, and tells the others', async () => {
    const { all, join, told } = await meeting();
    await join(1);
    await expect(join(1)).rejects.toThrow('rank 1 (process 101 on host-1) is there twice');
    await expect(all).rejects.toThrow('twice');
    await expect.poll(() => JSON.stringify(told)).toContain('twice');
  });

  it('names another number of processes, and ranks that are missing', async () => {
    const first = await meeting();
    await expect(first.join(1, { size: 4 })).rejects.toThrow('was started for 4 processes, rank 0 for 3');
    const second = await meeting({ waitMs: 300 });
    await second.join(2);
    await expect(second.all).rejects.toThrow('rank 1 of 3 processes has not come');
  });

  it('notices that rank 0 has gone between its question and its answer', async () => {
    const server = createServer((socket) => {
      socket.write('{"challenge":"c"}\n');
      socket.once('data', () => {
        server.close();
        socket.destroy();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const joined = joinRanks({ ...place, rank: 1, port, goneMs: 300 }, identityOf(1), () => {});
    await expect(joined).rejects.toThrow(`rank 0 answered at 127.0.0.1:${port}, and for 0 s no more`);
  });

  it('says that nobody listens', async () => {
    const nobody = { ...place, rank: 1, port: 1, waitMs: 100 };
    await expect(joinRanks(nobody, identityOf(1), () => {})).rejects.toThrow('not found at 127.0.0.1:1');
  });
});
