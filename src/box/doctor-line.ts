/** What "postbox doctor" posts to see whether that works: always the same, so that it lands on itself. */
export const DOCTOR_LINE = Buffer.from('postbox doctor was here: this server can post\n')
