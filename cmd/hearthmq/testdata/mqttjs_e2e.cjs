// Uses a broker with MQTT.js: node mqttjs_e2e.cjs URL USER PASSWORD LEVEL, with mqtt in NODE_PATH.
// Prints "ok" and exits with 0, or says what went wrong.
const mqtt = require('mqtt')
const assert = require('node:assert')

const [url, username, password, level] = process.argv.slice(2)
const protocolVersion = Number(level)
const protocolId = protocolVersion === 3 ? 'MQIsdp' : 'MQTT'

const watchdog = setTimeout(() => { console.log('took too long'); process.exit(1) }, 170000)

const connect = (more) => mqtt.connectAsync(url, {
  username, password, protocolVersion, protocolId, reconnectPeriod: 0, connectTimeout: 20000, ...more,
})

// next returns a function that waits for one message after the other.
function inbox (client) {
  const got = []
  const waiting = []
  client.on('message', (topic, payload, packet) => {
    const m = { topic, payload, packet }
    if (waiting.length) waiting.shift()(m)
    else got.push(m)
  })
  return () => got.length ? Promise.resolve(got.shift()) : new Promise(resolve => waiting.push(resolve))
}

async function main () {
  const c = await connect({ clientId: 'js' + protocolVersion, ...(protocolVersion === 5 && { properties: { topicAliasMaximum: 10 } }) })
  const next = inbox(c)
  const granted = await c.subscribeAsync({ 'js/q0': { qos: 0 }, 'js/q1': { qos: 1 }, 'js/q2': { qos: 2 } })
  assert.deepStrictEqual(granted.map(g => g.qos), [0, 1, 2])
  for (const qos of [0, 1, 2]) {
    await c.publishAsync('js/q' + qos, 'payload ' + qos, { qos })
    const m = await next()
    assert.deepStrictEqual([m.topic, m.payload.toString(), m.packet.qos, m.packet.retain], ['js/q' + qos, 'payload ' + qos, qos, false])
  }

  // Larger than any single frame or read buffer.
  const large = Buffer.alloc(1000000, 'HearthMQ ')
  await c.publishAsync('js/q1', large, { qos: 1 })
  assert.ok((await next()).payload.equals(large), 'a large payload came back changed')

  // Many at once, in order.
  await Promise.all(Array.from({ length: 500 }, (_, i) => c.publishAsync('js/q1', String(i), { qos: 1 })))
  for (let i = 0; i < 500; i++) assert.strictEqual((await next()).payload.toString(), String(i))

  await c.publishAsync('js/retained', 'kept', { qos: 1, retain: true })
  await c.subscribeAsync('js/retained', { qos: 1 })
  assert.strictEqual((await next()).packet.retain, true)
  await c.publishAsync('js/retained', '', { qos: 1, retain: true })
  await next()

  if (protocolVersion === 5) {
    await c.subscribeAsync('js/props', { qos: 1, properties: { subscriptionIdentifier: 9 } })
    await c.publishAsync('js/props', 'x', {
      qos: 1,
      properties: { responseTopic: 'js/answer', correlationData: Buffer.from([1, 2]), userProperties: { a: ['1', '2'] }, contentType: 'text/plain' },
    })
    const p = (await next()).packet.properties
    assert.strictEqual(p.responseTopic, 'js/answer')
    assert.deepStrictEqual([...p.correlationData], [1, 2])
    assert.deepStrictEqual({ ...p.userProperties }, { a: ['1', '2'] })
    assert.deepStrictEqual(p.subscriptionIdentifier, 9)
    // Topic aliases towards the broker.
    const alias = await connect({ clientId: 'js-alias', autoAssignTopicAlias: true, autoUseTopicAlias: true })
    for (let i = 0; i < 20; i++) {
      await alias.publishAsync('js/q1', 'aliased ' + i, { qos: 1 })
      assert.strictEqual((await next()).payload.toString(), 'aliased ' + i)
    }
    await alias.endAsync()
  }

  // A will, when the connection breaks.
  await c.subscribeAsync('js/will', { qos: 1 })
  const dying = await connect({ clientId: 'js-dying', will: { topic: 'js/will', payload: 'gone', qos: 1 } })
  dying.on('error', () => {})
  dying.stream.destroy()
  assert.strictEqual((await next()).payload.toString(), 'gone')

  // It comes back by itself, with its subscriptions and with what it missed.
  const back = await connect({
    clientId: 'js-back', reconnectPeriod: 100, clean: false, ...(protocolVersion === 5 && { properties: { sessionExpiryInterval: 3600 } }),
  })
  back.on('error', () => {})
  const nextBack = inbox(back)
  await back.subscribeAsync('js/back', { qos: 1 })
  const again = new Promise(resolve => back.once('connect', resolve))
  back.stream.destroy()
  await c.publishAsync('js/back', 'while away', { qos: 1 })
  await again
  assert.strictEqual((await nextBack()).payload.toString(), 'while away')
  await back.endAsync()

  await assert.rejects(connect({ clientId: 'js-bad', password: 'wrong' }))
  await c.endAsync()
  console.log('ok')
  clearTimeout(watchdog)
}

main().catch(e => { console.log(e.stack || String(e)); process.exit(1) })
