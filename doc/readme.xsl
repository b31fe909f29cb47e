<?xml version="1.0" encoding="UTF-8"?>
<!-- TLS transport module for Kamailio.
     Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.

     DocBook to one HTML page, plain enough that its text dump is the README. -->
<xsl:stylesheet version="1.0"
	xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
	xmlns="http://www.w3.org/1999/xhtml">

<xsl:import
	href="http://docbook.sourceforge.net/release/xsl/current/xhtml/docbook.xsl"/>

<xsl:param name="suppress.navigation" select="1"/>
<xsl:param name="default.table.width" select="'100%'"/>

<!-- Straight quotes: the text is ASCII. -->
<xsl:template match="quote">
	<xsl:text>"</xsl:text><xsl:apply-templates/><xsl:text>"</xsl:text>
</xsl:template>

</xsl:stylesheet>
