/** Why a volume cannot be had yet; told in a FailedMount event. */
export class MountError extends Error {
  constructor(volume: string, why: string) {
    super(`MountVolume.SetUp failed for volume "${volume}" : ${why}`);
    this.name = 'MountError';
  }
}
