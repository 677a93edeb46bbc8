import { describe, expect, test } from 'vitest';
import { chooseDevice } from '../../scripts/setup/device.mjs';
import { SetupFailure } from '../../scripts/setup/failure.mjs';

const driver = '/proc/driver/nvidia/version';
const withoutDriver = { platform: 'linux', arch: 'x64', findDriver: (): string | undefined => undefined };
const withDriver = { ...withoutDriver, findDriver: (): string | undefined => driver };

describe('the device', () => {
  test('is the CPU where no driver is found, CUDA where one is', () => {
    expect(chooseDevice(withoutDriver)).toEqual({
      device: 'cpu',
      why: 'no NVIDIA driver was found',
      request: undefined,
    });
    const choice = chooseDevice(withDriver);
    expect(choice.device).toBe('cuda');
    expect(choice.why).toContain(driver);
  });

  test('is what --device asks for, before CLM_DEVICE, before what an earlier set-up was asked for', () => {
    const kept = { device: 'cuda', why: 'asked for with --device cuda' };
    const asked = chooseDevice({ ...withDriver, option: 'cpu', environment: 'cuda', kept });
    expect(asked).toMatchObject({ device: 'cpu', why: 'asked for with --device cpu' });
    expect(chooseDevice({ ...withDriver, environment: 'cpu', kept })).toMatchObject({
      device: 'cpu',
      why: 'asked for with CLM_DEVICE cpu',
    });
    expect(chooseDevice({ ...withoutDriver, kept })).toEqual({ device: 'cuda', why: kept.why, request: kept });
  });

  test('asked for is kept for the next set-up, probed is not, and auto forgets', () => {
    const first = chooseDevice({ ...withDriver, option: 'cpu' });
    const second = chooseDevice({ ...withDriver, kept: first.request });
    expect(second).toEqual(first);
    const forgotten = chooseDevice({ ...withDriver, option: 'auto', kept: first.request });
    expect(forgotten).toMatchObject({ device: 'cuda', request: undefined });
  });

  test('an empty CLM_DEVICE is no wish', () => {
    expect(chooseDevice({ ...withoutDriver, environment: '' }).why).toBe('no NVIDIA driver was found');
  });

  test('is not probed for where it was asked for', () => {
    const findDriver = (): string | undefined => {
      throw new Error('probed');
    };
    expect(chooseDevice({ ...withoutDriver, findDriver, option: 'cpu' }).device).toBe('cpu');
    expect(() => chooseDevice({ ...withoutDriver, findDriver })).toThrow('probed');
  });

  test('is never CUDA where TensorFlow has no CUDA wheel; asking for it is refused', () => {
    const arm = { ...withDriver, arch: 'arm64' };
    expect(chooseDevice(arm).device).toBe('cpu');
    expect(chooseDevice(arm).why).toContain('no CUDA wheel');
    expect(() => chooseDevice({ ...arm, option: 'cuda' })).toThrow(SetupFailure);
    const mac = { ...withDriver, platform: 'darwin', arch: 'arm64' };
    expect(() => chooseDevice({ ...mac, environment: 'cuda' })).toThrow(/CLM_DEVICE cuda.*use --device cpu/);
  });

  test('of an unknown name is wrong usage, wherever it stands', () => {
    for (const facts of [{ option: 'gpu' }, { environment: 'gpu' }]) {
      const choose = () => chooseDevice({ ...withDriver, ...facts });
      expect(choose).toThrow(
        expect.objectContaining({ exitCode: 2, message: expect.stringContaining('auto, cpu, cuda') }),
      );
    }
  });
});
