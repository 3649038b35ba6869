package packet

// The five accessors tie an identifier of the table to its field. Each must
// know every identifier of its kind; TestPropertyMatrix holds them to it.

func (p *Properties) flag(id PropID) *byte {
	switch id {
	case PropPayloadFormat:
		return &p.PayloadFormat
	case PropRequestProblemInfo:
		return &p.RequestProblemInfo
	case PropRequestResponseInfo:
		return &p.RequestResponseInfo
	case PropMaximumQoS:
		return &p.MaximumQoS
	case PropRetainAvailable:
		return &p.RetainAvailable
	case PropWildcardAvailable:
		return &p.WildcardAvailable
	case PropSubIDAvailable:
		return &p.SubIDAvailable
	case PropSharedAvailable:
		return &p.SharedAvailable
	}
	return new(byte)
}

func (p *Properties) u16(id PropID) *uint16 {
	switch id {
	case PropServerKeepAlive:
		return &p.ServerKeepAlive
	case PropReceiveMaximum:
		return &p.ReceiveMaximum
	case PropTopicAliasMaximum:
		return &p.TopicAliasMaximum
	case PropTopicAlias:
		return &p.TopicAlias
	}
	return new(uint16)
}

func (p *Properties) u32(id PropID) *uint32 {
	switch id {
	case PropMessageExpiry:
		return &p.MessageExpiry
	case PropSessionExpiry:
		return &p.SessionExpiry
	case PropWillDelay:
		return &p.WillDelay
	case PropMaximumPacketSize:
		return &p.MaximumPacketSize
	}
	return new(uint32)
}

func (p *Properties) text(id PropID) *string {
	switch id {
	case PropContentType:
		return &p.ContentType
	case PropResponseTopic:
		return &p.ResponseTopic
	case PropAssignedClientID:
		return &p.AssignedClientID
	case PropAuthMethod:
		return &p.AuthMethod
	case PropResponseInfo:
		return &p.ResponseInfo
	case PropServerReference:
		return &p.ServerReference
	case PropReasonString:
		return &p.ReasonString
	}
	return new(string)
}

func (p *Properties) binary(id PropID) *[]byte {
	switch id {
	case PropCorrelationData:
		return &p.CorrelationData
	case PropAuthData:
		return &p.AuthData
	}
	return new([]byte)
}

// The Set methods assign a property and mark it present, so that 0 and "" are
// sent too. Where the value is never zero, assigning the field does the same.

// SetPayloadFormat sets the Payload Format Indicator, 0 or 1.
func (p *Properties) SetPayloadFormat(v byte) { p.PayloadFormat = v; p.Mark(PropPayloadFormat) }

// SetMessageExpiry sets the Message Expiry Interval in seconds.
func (p *Properties) SetMessageExpiry(v uint32) { p.MessageExpiry = v; p.Mark(PropMessageExpiry) }

// SetContentType sets the Content Type.
func (p *Properties) SetContentType(v string) { p.ContentType = v; p.Mark(PropContentType) }

// SetResponseTopic sets the Response Topic.
func (p *Properties) SetResponseTopic(v string) { p.ResponseTopic = v; p.Mark(PropResponseTopic) }

// SetCorrelationData sets the Correlation Data; v is kept, not copied.
func (p *Properties) SetCorrelationData(v []byte) { p.CorrelationData = v; p.Mark(PropCorrelationData) }

// SetSessionExpiry sets the Session Expiry Interval in seconds; 0xFFFFFFFF is never.
func (p *Properties) SetSessionExpiry(v uint32) { p.SessionExpiry = v; p.Mark(PropSessionExpiry) }

// SetAssignedClientID sets the Assigned Client Identifier.
func (p *Properties) SetAssignedClientID(v string) {
	p.AssignedClientID = v
	p.Mark(PropAssignedClientID)
}

// SetServerKeepAlive sets the Server Keep Alive in seconds.
func (p *Properties) SetServerKeepAlive(v uint16) { p.ServerKeepAlive = v; p.Mark(PropServerKeepAlive) }

// SetAuthMethod sets the Authentication Method.
func (p *Properties) SetAuthMethod(v string) { p.AuthMethod = v; p.Mark(PropAuthMethod) }

// SetAuthData sets the Authentication Data; v is kept, not copied.
func (p *Properties) SetAuthData(v []byte) { p.AuthData = v; p.Mark(PropAuthData) }

// SetRequestProblemInfo sets Request Problem Information, 0 or 1.
func (p *Properties) SetRequestProblemInfo(v byte) {
	p.RequestProblemInfo = v
	p.Mark(PropRequestProblemInfo)
}

// SetWillDelay sets the Will Delay Interval in seconds.
func (p *Properties) SetWillDelay(v uint32) { p.WillDelay = v; p.Mark(PropWillDelay) }

// SetRequestResponseInfo sets Request Response Information, 0 or 1.
func (p *Properties) SetRequestResponseInfo(v byte) {
	p.RequestResponseInfo = v
	p.Mark(PropRequestResponseInfo)
}

// SetResponseInfo sets the Response Information.
func (p *Properties) SetResponseInfo(v string) { p.ResponseInfo = v; p.Mark(PropResponseInfo) }

// SetServerReference sets the Server Reference.
func (p *Properties) SetServerReference(v string) { p.ServerReference = v; p.Mark(PropServerReference) }

// SetReasonString sets the Reason String.
func (p *Properties) SetReasonString(v string) { p.ReasonString = v; p.Mark(PropReasonString) }

// SetReceiveMaximum sets the Receive Maximum, not 0.
func (p *Properties) SetReceiveMaximum(v uint16) { p.ReceiveMaximum = v; p.Mark(PropReceiveMaximum) }

// SetTopicAliasMaximum sets the Topic Alias Maximum.
func (p *Properties) SetTopicAliasMaximum(v uint16) {
	p.TopicAliasMaximum = v
	p.Mark(PropTopicAliasMaximum)
}

// SetMaximumQoS sets the Maximum QoS, 0 or 1.
func (p *Properties) SetMaximumQoS(v byte) { p.MaximumQoS = v; p.Mark(PropMaximumQoS) }

// SetRetainAvailable sets Retain Available, 0 or 1.
func (p *Properties) SetRetainAvailable(v byte) { p.RetainAvailable = v; p.Mark(PropRetainAvailable) }

// SetMaximumPacketSize sets the Maximum Packet Size in bytes, not 0.
func (p *Properties) SetMaximumPacketSize(v uint32) {
	p.MaximumPacketSize = v
	p.Mark(PropMaximumPacketSize)
}

// SetWildcardAvailable sets Wildcard Subscription Available, 0 or 1.
func (p *Properties) SetWildcardAvailable(v byte) {
	p.WildcardAvailable = v
	p.Mark(PropWildcardAvailable)
}

// SetSubIDAvailable sets Subscription Identifiers Available, 0 or 1.
func (p *Properties) SetSubIDAvailable(v byte) { p.SubIDAvailable = v; p.Mark(PropSubIDAvailable) }

// SetSharedAvailable sets Shared Subscription Available, 0 or 1.
func (p *Properties) SetSharedAvailable(v byte) { p.SharedAvailable = v; p.Mark(PropSharedAvailable) }

// AddUser appends a User Property.
func (p *Properties) AddUser(key, value string) {
	p.User = append(p.User, UserProperty{Key: key, Value: value})
}
