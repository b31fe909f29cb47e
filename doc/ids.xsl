<?xml version="1.0" encoding="UTF-8"?>
<!-- TLS transport module for Kamailio.
     Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.

     What the documentation claims to exist: one line "id TAB facts TAB role" for
     each element whose id begins with "tls.". For test/doc_check.sh. -->
<xsl:stylesheet version="1.0"
	xmlns:xsl="http://www.w3.org/1999/XSL/Transform">

<xsl:output method="text" encoding="UTF-8"/>

<xsl:template match="/">
	<xsl:for-each select="//*[starts-with(@id, 'tls.')]">
		<xsl:value-of select="@id"/>
		<xsl:text>&#9;</xsl:text>
		<xsl:value-of select="normalize-space(.//para[@role='facts'][1])"/>
		<xsl:if test="@role = 'waits'"><xsl:text>&#9;waits</xsl:text></xsl:if>
		<xsl:text>&#10;</xsl:text>
	</xsl:for-each>
</xsl:template>

</xsl:stylesheet>
