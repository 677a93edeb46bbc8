/** Rank and size from options and launchers' environments. */
import { describe, expect, it } from 'vitest';
import { launchedRank } from '../../src/processes/launcher.ts';

const nothing = { processes: undefined, rank: undefined, rendezvous: undefined };
const torchrun = { RANK: '1', WORLD_SIZE: '4', LOCAL_WORLD_SIZE: '2', MASTER_ADDR: 'node-a', MASTER_PORT: '29500' };

describe('launchedRank', () => {
  it('is undefined for a process that trains alone or starts the others', () => {
    expect(launchedRank(nothing, {})).toBeUndefined();
    expect(launchedRank({ ...nothing, processes: 4 }, {})).toBeUndefined();
    expect(launchedRank(nothing, { RANK: '0', WORLD_SIZE: '2' })).toBeUndefined(); // some other program's
    expect(launchedRank(nothing, { ...torchrun, RANK: '0', WORLD_SIZE: '1' })).toBeUndefined();
  });

  it('reads what torchrun says, and leaves its store the port', () => {
    const place = { rank: 1, size: 4, by: 'torchrun', port: 29501 };
    expect(launchedRank(nothing, torchrun)).toEqual({ ...place, host: 'node-a' });
    const onOneMachine = { ...torchrun, LOCAL_WORLD_SIZE: '4' };
    expect(launchedRank(nothing, onOneMachine)).toEqual({ ...place, host: '127.0.0.1' });
    expect(launchedRank({ ...nothing, rendezvous: '[fd00::5]:77' }, torchrun)).toMatchObject({
      host: 'fd00::5',
      port: 77,
    });
  });

  it("reads Open MPI's rank and size, which come without an address", () => {
    const mpirun = { OMPI_COMM_WORLD_RANK: '2', OMPI_COMM_WORLD_SIZE: '3' };
    expect(() => launchedRank(nothing, mpirun)).toThrow('mpirun does not say where the processes meet');
    const place = launchedRank({ ...nothing, rendezvous: '10.0.0.5:29400' }, mpirun);
    expect(place).toEqual({ rank: 2, size: 3, by: 'mpirun', host: '10.0.0.5', port: 29400 });
  });

  it('takes --rank, and refuses what does not fit together', () => {
    const asked = { processes: 2, rank: 1, rendezvous: 'localhost:1' };
    expect(launchedRank(asked, {})).toMatchObject({ rank: 1, size: 2, host: 'localhost', port: 1 });
    expect(() => launchedRank({ ...asked, rank: 2 }, {})).toThrow('--rank must be from 0 to 1');
    expect(() => launchedRank({ ...asked, processes: undefined }, {})).toThrow('--rank needs --processes');
    expect(() => launchedRank({ ...asked, rendezvous: 'localhost' }, {})).toThrow('must be HOST:PORT');
    expect(() => launchedRank({ ...asked, rank: undefined }, {})).toThrow('give --rank too');
    expect(() => launchedRank({ ...nothing, processes: 8 }, torchrun)).toThrow('--processes is 8, but torchrun');
  });
});
