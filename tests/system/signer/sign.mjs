// node sign.mjs SECRET < body: prints the Stripe-Signature header of the body
import { readFileSync } from 'node:fs'
import Stripe from 'stripe'

const payload = readFileSync(0, 'utf8')
const secret = process.argv[2]
process.stdout.write(Stripe.webhooks.generateTestHeaderString({ payload, secret }))
