/** A moment for people, in UTC to the second: `2026-11-22 10:00:05`. */
export const moment = (iso: string): string => iso.slice(0, 19).replace('T', ' ')

/** The same to the minute, where space is dear. */
export const minute = (iso: string): string => iso.slice(0, 16).replace('T', ' ')
