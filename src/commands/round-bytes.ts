export { roundBytes } from '../units.js'
