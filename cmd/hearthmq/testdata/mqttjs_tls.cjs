// Connects with a certificate: node mqttjs_tls.cjs URL CA CERT KEY, with mqtt in NODE_PATH.
// Prints "ok" once a message came back, "refused: …" when it is not let in.
const mqtt = require('mqtt')
const fs = require('node:fs')

const [url, ca, cert, key] = process.argv.slice(2)
const read = (name) => fs.readFileSync(name)

async function main () {
  let c
  try {
    c = await mqtt.connectAsync(url, {
      ca: read(ca), cert: read(cert), key: read(key), protocolVersion: 5, reconnectPeriod: 0, connectTimeout: 20000,
    })
  } catch (e) {
    console.log('refused: ' + e.message)
    process.exit(0)
  }
  const came = new Promise(resolve => c.on('message', (_, payload) => resolve(payload.toString())))
  await c.subscribeAsync('lamp/js', { qos: 1 })
  await c.publishAsync('lamp/js', 'hello', { qos: 1 })
  console.log(await came === 'hello' ? 'ok' : 'another message')
  await c.endAsync()
}

main().catch(e => { console.log(e.stack || String(e)); process.exit(1) })
