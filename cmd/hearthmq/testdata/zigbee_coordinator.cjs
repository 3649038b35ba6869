// A coordinator without a radio. Loaded into the real Zigbee2MQTT by
// NODE_OPTIONS=--require=…, with its node_modules in HEARTHMQ_NODE_MODULES, it takes the
// place of the adapter that would talk to a serial port. What is asked of a device
// succeeds: attributes are kept, on, off and levels change them. A line on the
// standard input makes a device speak: {"from": "0x…", "cluster": "…", "attributes": {"…": value}}.
const path = require('node:path')
const readline = require('node:readline')
const { isMainThread } = require('node:worker_threads')

const herdsman = path.join(process.env.HEARTHMQ_NODE_MODULES, 'zigbee-herdsman', 'dist')
const { Adapter } = require(path.join(herdsman, 'adapter', 'adapter.js'))
const Zcl = require(path.join(herdsman, 'zspec', 'zcl'))
const { ClusterId } = require(path.join(herdsman, 'zspec', 'zdo'))
const { Device } = require(path.join(herdsman, 'controller', 'model'))

const SUCCESS = 0
const HOME_AUTOMATION = 0x0104

class Coordinator extends Adapter {
  attributes = new Map() // of all devices, by "address/endpoint/cluster/attribute"
  sequence = 0

  async start () {
    readline.createInterface({ input: process.stdin })
      .on('line', line => this.report(JSON.parse(line)))
      .on('close', () => process.exit()) // whoever started this is gone
    return 'resumed'
  }

  async stop () {}
  async getCoordinatorIEEE () { return '0x00124b0000000001' }
  async getCoordinatorVersion () { return { type: 'None', meta: { revision: '1' } } }
  async reset () {}
  async supportsBackup () { return false }
  async backup () { throw new Error('no backup') }
  async getNetworkParameters () {
    const { panID, extendedPanID, channelList } = this.networkOptions
    return { panID, extendedPanID: '0x' + Buffer.from(extendedPanID).toString('hex'), channel: channelList[0], nwkUpdateID: 0 }
  }

  async addInstallCode () {}
  async permitJoin () {}
  waitFor () { return { promise: new Promise(() => {}), cancel () {} } }

  async sendZdo (ieee, network, cluster) {
    switch (cluster) {
      case ClusterId.ACTIVE_ENDPOINTS_REQUEST:
        return [SUCCESS, { nwkAddress: network, endpointList: [1] }]
      case ClusterId.SIMPLE_DESCRIPTOR_REQUEST:
        return [SUCCESS, {
          length: 8, nwkAddress: network, endpoint: 1, profileId: HOME_AUTOMATION, deviceId: 5, deviceVersion: 0, inClusterList: [0], outClusterList: [],
        }]
      default:
        return [SUCCESS, undefined]
    }
  }

  async sendZclFrameToEndpoint (ieee, network, endpoint, frame) {
    const key = attribute => [ieee, endpoint, frame.cluster.ID, attribute].join('/')
    const answer = (command, payload) => this.from(network, endpoint, frame.cluster.ID, command, payload, frame.header)
    if (frame.header.isGlobal) {
      switch (frame.command.name) {
        case 'read':
          return answer('readRsp', frame.payload.map(({ attrId }) => this.attributes.has(key(attrId))
            ? { attrId, status: SUCCESS, ...this.attributes.get(key(attrId)) }
            : { attrId, status: Zcl.Status.UNSUPPORTED_ATTRIBUTE }))
        case 'write':
          for (const { attrId, dataType, attrData } of frame.payload) this.attributes.set(key(attrId), { dataType, attrData })
          return answer('writeRsp', [{ status: SUCCESS }])
        case 'configReport':
          return answer('configReportRsp', [{ status: SUCCESS }])
      }
    }
    const set = (name, attrData) => {
      const { ID, type } = frame.cluster.attributes[name]
      this.attributes.set(key(ID), { dataType: type, attrData })
    }
    switch (frame.command.name) {
      case 'on': set('onOff', 1); break
      case 'off': set('onOff', 0); break
      case 'toggle': set('onOff', 1 - (this.attributes.get(key(0))?.attrData ?? 0)); break
      case 'moveToLevel': case 'moveToLevelWithOnOff': set('currentLevel', frame.payload.level); break
      case 'moveToColorTemp': set('colorTemperature', frame.payload.colortemp); break
    }
    return answer('defaultRsp', { cmdId: frame.command.ID, statusCode: SUCCESS })
  }

  async sendZclFrameToGroup () {}
  async sendZclFrameToAll () {}
  async setChannelInterPAN () {}
  async sendZclFrameInterPANToIeeeAddr () {}
  async sendZclFrameInterPANBroadcast () {}
  async restoreChannelInterPAN () {}

  // from is a frame as a device sends it.
  from (network, endpoint, cluster, command, payload, asked) {
    const sequence = asked?.transactionSequenceNumber ?? (this.sequence = (this.sequence + 1) % 256)
    const frame = Zcl.Frame.create(Zcl.FrameType.GLOBAL, Zcl.Direction.SERVER_TO_CLIENT, true, asked?.manufacturerCode, sequence, command, cluster, payload, {})
    const data = frame.toBuffer()
    return {
      clusterID: frame.cluster.ID, address: network, endpoint, destinationEndpoint: 1, header: Zcl.Header.fromBuffer(data), data,
      linkquality: 120, groupID: 0, wasBroadcast: false,
    }
  }

  report ({ from, cluster, attributes }) {
    const known = Zcl.Utils.getCluster(cluster, undefined, {}).attributes
    const payload = Object.entries(attributes).map(([name, attrData]) => ({ attrId: known[name].ID, dataType: known[name].type, attrData }))
    this.emit('zclPayload', this.from(Device.byIeeeAddr(from).networkAddress, 1, cluster, 'report', payload))
  }
}

if (isMainThread) Adapter.create = async (...settings) => new Coordinator(...settings)
