// Between times and what a field of type datetime-local holds.

/** `2026-11-23T10:41:11`, in the browser's time zone. */
export function toLocal(time: Date): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  return `${day}T${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

/** As RFC 3339; `undefined`: it's no time. */
export function fromLocal(text: string): string | undefined {
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? undefined : time.toISOString().replace('.000', '');
}
